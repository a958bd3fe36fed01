"""Sets of completion indexes and their text form, such as ``1,3-5,7``. Pure."""

from collections.abc import Iterable

Indexes = frozenset[int]
NONE: Indexes = frozenset()


def parse_indexes(text: str, completions: int) -> Indexes:
    """Indexes below ``completions``; what cannot be read is as if it were not there."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        try:
            start, end = int(first), int(last or first)
        except ValueError:
            return NONE
        found.update(range(max(0, start), min(end, completions - 1) + 1))
    return frozenset(found)


def format_indexes(indexes: Iterable[int]) -> str:
    """Three or more in a row become a range."""
    rows: list[list[int]] = []
    for index in sorted(indexes):
        if rows and rows[-1][1] + 1 == index:
            rows[-1][1] = index
        else:
            rows.append([index, index])
    return ",".join(_row(first, last) for first, last in rows)


def _row(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if first + 1 == last else f"{first}-{last}"
