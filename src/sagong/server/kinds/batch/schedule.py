"""What is wrong with a cron schedule: five fields or a descriptor, as robfig/cron v3 reads them."""

import re
from dataclasses import dataclass

_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_DURATION = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)(.*)")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


@dataclass(frozen=True, slots=True)
class _Bounds:
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """A number or a name. ValueError with the parser's words."""
        if text.lower() in self.names:
            return self.names.index(text.lower()) + self.low
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            why = f'strconv.Atoi: parsing "{text}": invalid syntax'
            raise ValueError(f"failed to parse int from {text}: {why}")
        if int(text) < 0:
            raise ValueError(f"negative number ({int(text)}) not allowed: {text}")
        return int(text)


_FIELDS = (
    _Bounds(0, 59),
    _Bounds(0, 23),
    _Bounds(1, 31),
    _Bounds(1, 12, tuple(_MONTHS)),
    _Bounds(0, 6, tuple(_DAYS)),
)


def schedule_problems(schedule: str, *, has_time_zone: bool) -> list[str]:
    """Problems in upstream's words; empty if the schedule is right."""
    problems = []
    try:
        _parse(schedule)
    except ValueError as e:
        problems.append(str(e))
    if "TZ" in schedule:
        if has_time_zone:
            problems.append("cannot use both timeZone field and TZ or CRON_TZ in schedule")
        else:
            problems.append("cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    return problems


def _parse(schedule: str) -> None:
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        schedule = schedule.partition(" ")[2].strip()
    if schedule.startswith("@"):
        _parse_descriptor(schedule)
        return
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        shown = "[" + " ".join(fields) + "]"
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: {shown}")
    for field, bounds in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            if part:
                _parse_range(part, bounds)


def _parse_descriptor(descriptor: str) -> None:
    if descriptor in _MACROS:
        return
    if descriptor.startswith("@every "):
        duration = descriptor.removeprefix("@every ")
        rest = duration
        while (match := _DURATION.fullmatch(rest)) and match.group(4):
            rest = match.group(4)
        if match is None:
            why = f'time: invalid duration "{duration}"'
            raise ValueError(f"failed to parse duration {descriptor}: {why}")
        return
    raise ValueError(f"unrecognized descriptor: {descriptor}")


def _parse_range(expression: str, bounds: _Bounds) -> None:
    span, *steps = expression.split("/")
    low_text, *highs = span.split("-")
    if low_text in ("*", "?"):
        low, high = bounds.low, bounds.high
    else:
        low = bounds.number(low_text)
        if len(highs) > 1:
            raise ValueError(f"too many hyphens: {expression}")
        high = bounds.number(highs[0]) if highs else low
    step = 1
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {expression}")
    if steps:
        step = bounds.number(steps[0])
        if not highs and low_text not in ("*", "?"):
            high = bounds.high
    if low < bounds.low:
        raise ValueError(f"beginning of range ({low}) below minimum ({bounds.low}): {expression}")
    if high > bounds.high:
        raise ValueError(f"end of range ({high}) above maximum ({bounds.high}): {expression}")
    if low > high:
        raise ValueError(f"beginning of range ({low}) beyond end of range ({high}): {expression}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {expression}")
