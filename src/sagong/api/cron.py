"""Cron schedules: five fields or a macro, and the next time after another. Pure.

The grammar and its meaning are those of robfig/cron's standard parser, which upstream uses: names
for months and weekdays, ranges, steps, ``?`` as ``*``, ``@daily`` and its like, ``@every 1h30m``;
if both days are restricted, either may match. Local times that a clock change skips are skipped,
and those it repeats come twice.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from sagong.core import durations

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = dict(
    zip(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
        range(1, 13),
        strict=True,
    )
)
_WEEKDAYS = dict(zip(["sun", "mon", "tue", "wed", "thu", "fri", "sat"], range(7), strict=True))
_YEARS_SEARCHED = 5  # a schedule with no time within them (30 February) has none


class CronError(ValueError):
    """A schedule that cannot be read."""


@dataclass(frozen=True, slots=True)
class Field:
    """The values of one field, and whether it was a star."""

    values: frozenset[int]
    star: bool

    def matches(self, value: int) -> bool:
        return value in self.values


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times by the wall clock of a zone."""

    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field
    zone: tzinfo

    def next(self, seconds: float) -> float | None:
        """The first time after this one, in seconds since the epoch; None if there is none."""
        at = float(int(seconds) // 60 * 60 + 60)
        local = datetime.fromtimestamp(at, self.zone)
        last_year = local.year + _YEARS_SEARCHED
        while local.year <= last_year:
            following = self._jump(local)
            if following is None:
                return local.timestamp()
            local = datetime.fromtimestamp(following, self.zone)
        return None

    def _jump(self, local: datetime) -> float | None:
        """None if the time matches, else the earliest time that may."""
        if not self.month.matches(local.month):
            year, month = divmod(local.month, 12)
            first = datetime(local.year + year, month + 1, 1, tzinfo=self.zone)
            return first.timestamp()
        if not self._day_matches(local):
            return _next_midnight(local)
        at = local.timestamp()
        if not self.hour.matches(local.hour):
            return at + 3600 - local.minute * 60
        if not self.minute.matches(local.minute):
            return at + 60
        return None

    def _day_matches(self, local: datetime) -> bool:
        day = self.day.matches(local.day)
        weekday = self.weekday.matches(local.isoweekday() % 7)
        if self.day.star or self.weekday.star:
            return day and weekday
        return day or weekday


def _next_midnight(local: datetime) -> float:
    following = datetime.fromordinal(local.toordinal() + 1).replace(tzinfo=local.tzinfo)
    # Where the clock skips midnight, the day begins later; never go back.
    return max(following.timestamp(), local.timestamp() + 60)


@dataclass(frozen=True, slots=True)
class Every:
    """A fixed delay, in whole seconds."""

    seconds: int

    def next(self, seconds: float) -> float | None:
        return float(int(seconds) + self.seconds)


def parse_schedule(text: str, zone: str | None = None) -> Schedule | Every:
    """Raises CronError, and ``zoneinfo.ZoneInfoNotFoundError`` for an unknown zone."""
    if text.startswith(("TZ=", "CRON_TZ=")):
        prefix, _, text = text.partition(" ")
        zone, text = prefix.partition("=")[2], text.strip()
    where: tzinfo = ZoneInfo(zone) if zone else UTC
    if text.startswith("@every "):
        return _every(text[7:])
    if text.startswith("@"):
        if text not in MACROS:
            raise CronError(f"unrecognized descriptor: {text}")
        text = MACROS[text]
    fields = text.split()
    if len(fields) != 5:
        shown = "[" + " ".join(fields) + "]"
        raise CronError(f"expected exactly 5 fields, found {len(fields)}: {shown}")
    return Schedule(
        minute=_field(fields[0], 0, 59, {}),
        hour=_field(fields[1], 0, 23, {}),
        day=_field(fields[2], 1, 31, {}),
        month=_field(fields[3], 1, 12, _MONTHS),
        weekday=_field(fields[4], 0, 6, _WEEKDAYS),
        zone=where,
    )


def _field(text: str, low: int, high: int, names: dict[str, int]) -> Field:
    values: set[int] = set()
    star = False
    for part in filter(None, text.split(",")):
        found, is_star = _range(part, low, high, names)
        values |= found
        star |= is_star
    return Field(frozenset(values), star)


def _range(part: str, low: int, high: int, names: dict[str, int]) -> tuple[set[int], bool]:
    span, slash, step_text = part.partition("/")
    first, dash, last = span.partition("-")
    if "-" in last:
        raise CronError(f"too many hyphens: {part}")
    if "/" in step_text:
        raise CronError(f"too many slashes: {part}")
    star = False
    if first in ("*", "?"):
        start, end, star = low, high, True
    else:
        start = _number(first, names)
        end = _number(last, names) if dash else start
    step = 1
    if slash:
        step = _number(step_text, {})
        if not dash:
            end = high  # "N/step" means from N on
        star = star and step <= 1
    if start < low:
        raise CronError(f"beginning of range ({start}) below minimum ({low}): {part}")
    if end > high:
        raise CronError(f"end of range ({end}) above maximum ({high}): {part}")
    if start > end:
        raise CronError(f"beginning of range ({start}) beyond end of range ({end}): {part}")
    if step == 0:
        raise CronError(f"step of range should be a positive number: {part}")
    return set(range(start, end + 1, step)), star


def _number(text: str, names: dict[str, int]) -> int:
    named = names.get(text.lower())
    if named is not None:
        return named
    if not re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII):
        why = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise CronError(f"failed to parse int from {text}: {why}")
    if int(text) < 0:
        raise CronError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)


def _every(text: str) -> Every:
    try:
        return Every(max(1, int(durations.seconds(text))))
    except ValueError:
        why = f'time: invalid duration "{text}"'
        raise CronError(f"failed to parse duration @every {text}: {why}") from None
