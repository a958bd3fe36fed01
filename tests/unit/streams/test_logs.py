"""What of CRI log files is shown: parts, times, tails, limits, rotation."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagong.api.errors import BadRequest, Invalid
from sagong.api.log_options import LogOptions, log_options
from sagong.node.server.log_files import files_of, read_log, tail_start
from sagong.node.server.log_lines import LineFilter

STAMP = "2026-01-02T03:04:0{}.5Z"


def line(second: int, text: str, *, stream: str = "stdout", tag: str = "F") -> str:
    return f"{STAMP.format(second)} {stream} {tag} {text}\n"


async def shown(path: Path, **options: Any) -> str:
    blocks = read_log(path, LogOptions(**options), is_running=lambda: False)
    return b"".join([block async for block in blocks]).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three files: the oldest is packed, the newest still written."""
    with gzip.open(tmp_path / "0.log.20260101-000000.gz", "wt") as packed:
        packed.write(line(1, "one"))
    (tmp_path / "0.log.20260102-000000").write_text(line(2, "two"))
    path = tmp_path / "0.log"
    path.write_text(line(3, "thr", tag="P") + line(3, "ee") + line(4, "four", stream="stderr"))
    return path


async def test_all_files_in_order(log: Path) -> None:
    assert await shown(log) == "one\ntwo\nthree\nfour\n"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tail_lines": 0}, ""),
        ({"tail_lines": 1}, "four\n"),
        ({"tail_lines": 4}, "two\nthree\nfour\n"),  # parts count, as upstream counts them
        ({"tail_lines": 5}, "one\ntwo\nthree\nfour\n"),
        ({"tail_lines": 99}, "one\ntwo\nthree\nfour\n"),
        ({"limit_bytes": 6}, "one\ntw"),
        ({"stream": "stderr"}, "four\n"),
        ({"since": 1767323043.0}, "three\nfour\n"),
    ],
)
async def test_options(log: Path, options: dict[str, Any], text: str) -> None:
    assert await shown(log, **options) == text


async def test_times_stand_once_before_a_line(log: Path) -> None:
    text = await shown(log, timestamps=True, tail_lines=3)
    assert text == ("2026-01-02T03:04:03.500000000Z three\n2026-01-02T03:04:04.500000000Z four\n")


async def test_following_goes_on_over_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text(line(1, "one"))
    running = True
    blocks = read_log(path, LogOptions(follow=True), is_running=lambda: running)
    assert await anext(blocks) == b"one\n"
    with path.open("a") as file:
        file.write(line(2, "two"))
    assert await anext(blocks) == b"two\n"
    path.rename(tmp_path / "0.log.20260101-000000")
    path.write_text(line(3, "three"))
    assert await anext(blocks) == b"three\n"
    running = False
    assert [block async for block in blocks] == []


async def test_a_missing_log_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await shown(tmp_path / "0.log")
    with pytest.raises(FileNotFoundError):
        await shown(tmp_path / "0.log", tail_lines=3)


@given(st.lists(st.text(alphabet="abc ", max_size=5), max_size=30), st.integers(0, 40))
def test_the_tail_is_the_end(texts: list[str], count: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "0.log"
        path.write_text("".join(line(1, text) for text in texts))
        start = tail_start(files_of(path), count)
        rest = path.read_bytes()[start.offset :]
        assert rest.count(b"\n") == min(count, len(texts))


@given(st.binary(max_size=200))
def test_damaged_lines_do_no_harm(data: bytes) -> None:
    LineFilter(LogOptions(timestamps=True, since=1.0)).shown(data.replace(b"\n", b""))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            {"tailLines": "-1"},
            'PodLogOptions "p" is invalid: tailLines: Invalid value: -1: '
            "must be greater than or equal to 0",
        ),
        (
            {"limitBytes": "0"},
            'PodLogOptions "p" is invalid: limitBytes: Invalid value: 0: must be greater than 0',
        ),
        (
            {"sinceSeconds": "0"},
            'PodLogOptions "p" is invalid: sinceSeconds: Invalid value: 0: must be greater than 0',
        ),
    ],
)
def test_refusals(query: dict[str, str], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        log_options(query, pod="p", now=0.0)
    assert caught.value.message == message


def test_what_cannot_be_read_is_a_bad_request() -> None:
    with pytest.raises(BadRequest):
        log_options({"tailLines": "many"}, pod="p", now=0.0)
