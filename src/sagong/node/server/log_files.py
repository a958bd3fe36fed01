"""The log files of one container as one stream: rotated ones first, then the one being written.

Reads are of local files and short, so they are done in place; between two of them the reader's
consumer decides when to go on, so a slow client costs one block of memory.
"""

import asyncio
import gzip
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from sagong.api.log_options import LogOptions
from sagong.node.server.log_lines import LineFilter

BLOCK_BYTES = 64 * 1024
# A line is at most this long before it is shown in parts; runtimes split at 16 KiB.
LINE_BYTES_MAX = 1024 * 1024
# How often a followed file is looked at; grows while nothing is written.
POLL_FIRST_SECONDS = 0.02
POLL_LAST_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading begins: in which file, after how many bytes (of its uncompressed text)."""

    index: int
    offset: int


def files_of(path: Path) -> list[Path]:
    """A container's log files, oldest first; the last is the current one."""
    return [*sorted(path.parent.glob(f"{path.name}.*")), path]


async def read_log(
    path: Path, options: LogOptions, *, is_running: Callable[[], bool]
) -> AsyncGenerator[bytes, None]:
    """What ``kubectl logs`` shows, in blocks. Raises OSError if there is no log file.

    With ``follow`` it goes on until the container has ended; ``is_running`` is asked for that.
    """
    files = files_of(path)
    start = tail_start(files, options.tail_lines) if options.tail_lines is not None else Start(0, 0)
    shown = LineFilter(options)
    for index, file in enumerate(files[start.index : -1], start.index):
        offset = start.offset if index == start.index else 0
        try:
            opened = _open(file, offset)
        except FileNotFoundError:
            continue  # rotated away since it was listed
        with opened:
            lines = _Lines(shown)
            while block := opened.read(BLOCK_BYTES):
                if data := lines.take(block):
                    yield data
                if shown.is_full:
                    return
    offset = start.offset if start.index == len(files) - 1 else 0
    async for data in _current(path, offset, shown, options.follow, is_running):
        yield data


async def _current(
    path: Path, offset: int, shown: LineFilter, follow: bool, is_running: Callable[[], bool]
) -> AsyncGenerator[bytes, None]:
    """The file being written, and those that follow it when it is rotated."""
    file: BinaryIO = path.open("rb")
    file.seek(offset)
    lines, pause, ending = _Lines(shown), POLL_FIRST_SECONDS, False
    try:
        while not shown.is_full:
            block = file.read(BLOCK_BYTES)
            if block:
                pause = POLL_FIRST_SECONDS
                if data := lines.take(block):
                    yield data
                continue
            if not follow:
                return
            if _is_replaced(path, file) and not ending:
                # What was written before the runtime changed files has been read, bar one read.
                rest = file.read(BLOCK_BYTES)
                file.close()
                file = path.open("rb")
                if rest and (data := lines.take(rest)):
                    yield data
                continue
            if ending:
                return
            ending = not is_running()
            if not ending:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, POLL_LAST_SECONDS)
    finally:
        file.close()


class _Lines:
    """Cuts blocks into lines and filters them."""

    def __init__(self, shown: LineFilter) -> None:
        self._shown = shown
        self._rest = b""

    def take(self, block: bytes) -> bytes:
        *whole, self._rest = (self._rest + block).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            self._rest = b""  # no runtime writes such lines: the file is damaged
        return b"".join(self._shown.shown(line) for line in whole)


def _is_replaced(path: Path, file: BinaryIO) -> bool:
    try:
        return path.stat().st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _open(file: Path, offset: int) -> BinaryIO:
    opened: Any = gzip.GzipFile(file, "rb") if file.suffix == ".gz" else file.open("rb")
    opened.seek(offset)
    return cast(BinaryIO, opened)


def tail_start(files: list[Path], lines: int) -> Start:
    """Where the last ``lines`` lines of the files begin."""
    left = lines
    for index in range(len(files) - 1, -1, -1):
        try:
            found, offset = _tail_of(files[index], left, is_last=index == len(files) - 1)
        except FileNotFoundError:
            if index == len(files) - 1:
                raise
            continue
        if found >= left:
            return Start(index, offset)
        left -= found
    return Start(0, 0)


def _tail_of(file: Path, lines: int, *, is_last: bool) -> tuple[int, int]:
    """How many of the wanted lines a file has, and the offset at which they begin."""
    if file.suffix == ".gz":
        return _tail_of_packed(file, lines)
    with file.open("rb") as opened:
        end = opened.seek(0, os.SEEK_END)
        if lines == 0:
            return 0, end
        found = 0
        # A line end at the very end of the file ends the last line; it begins no new one.
        for position in _line_ends_backwards(opened, end):
            if position == end - 1:
                continue
            found += 1
            if found == lines:
                return found, position + 1
        return found + (1 if end else 0), 0


def _line_ends_backwards(opened: BinaryIO, end: int) -> Iterator[int]:
    while end > 0:
        begin = max(0, end - BLOCK_BYTES)
        opened.seek(begin)
        block = opened.read(end - begin)
        at = block.rfind(b"\n")
        while at >= 0:
            yield begin + at
            at = block.rfind(b"\n", 0, at)
        end = begin


def _tail_of_packed(file: Path, lines: int) -> tuple[int, int]:
    starts: list[int] = []
    position = 0
    with gzip.open(file, "rb") as opened:
        for line in opened:
            starts.append(position)
            del starts[:-lines]
            position += len(line)
    return len(starts), starts[0] if starts else position
