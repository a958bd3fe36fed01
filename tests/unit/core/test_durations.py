"""Go's notation of durations."""

import pytest

from sagong.core.durations import NANOS, nanoseconds, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("-0", 0),
        ("15s", 15 * NANOS),
        ("1h2m3.5s", 3723 * NANOS + NANOS // 2),
        ("-1.5h", -5400 * NANOS),
        ("10.017s", 10_017_000_000),
        ("100ms", NANOS // 10),
        ("3µs", 3000),
        (".5s", NANOS // 2),
        ("1.s", NANOS),
    ],
)
def test_it_is_read(text: str, expected: int) -> None:
    assert nanoseconds(text) == expected
    assert seconds(text) == expected / NANOS


@pytest.mark.parametrize("text", ["", "-", "3", "s", ".s", "1d", "1h 2m", "1h2", "1e3s", "٣s"])
def test_it_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot parse"):
        nanoseconds(text)
