"""Sets of completion indexes as jobs write them: ``0-3,7``."""

import re

_NUMBER = re.compile("[+-]?[0-9]+", re.ASCII)


class IndexesError(ValueError):
    """What is wrong with a set of indexes, in upstream's words."""


def count_indexes(text: str, completions: int) -> int:
    """How many indexes are in the set. Raises IndexesError for ill-formed ones."""
    total = 0
    last: int | None = None
    for interval in text.split(",") if text else ():
        first, end = parse_interval(interval, completions)
        if last is not None and last >= first:
            raise IndexesError(f"non-increasing order, previous: {last}, current: {first}")
        total += end - first + 1
        last = end
    return total


def parse_interval(interval: str, completions: int) -> tuple[int, int]:
    """First and last index of one part of a set. Raises IndexesError."""
    limits = interval.split("-")
    if len(limits) > 2:
        raise IndexesError(
            f'the fragment "{interval}" violates the requirement that an index interval can have '
            "at most two parts separated by '-'"
        )
    first = _index(limits[0], completions)
    if len(limits) == 1:
        return first, first
    end = _index(limits[1], completions)
    if first >= end:
        raise IndexesError(f"non-increasing order, previous: {first}, current: {end}")
    return first, end


def _index(text: str, completions: int) -> int:
    if not _NUMBER.fullmatch(text):
        raise IndexesError(f'cannot convert string to integer for index: "{text}"')
    if int(text) >= completions:
        raise IndexesError(f'too large index: "{text}"')
    return int(text)


def overlap(some: str, others: str, completions: int) -> int | None:
    """The first index that is in both sets; None if there is none. Ill-formed parts are skipped."""
    for first, end in _intervals(some, completions):
        for begin, last in _intervals(others, completions):
            if first <= last and begin <= end:
                return max(first, begin)
    return None


def _intervals(text: str, completions: int) -> list[tuple[int, int]]:
    found = []
    for interval in text.split(",") if text else ():
        try:
            found.append(parse_interval(interval, completions))
        except IndexesError:
            continue
    return found
