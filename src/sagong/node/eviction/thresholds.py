"""Signals and thresholds: when a node is short of something. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from sagong.api.quantities import parse


class Signal(Enum):
    """What is watched; the names are those of the settings."""

    MEMORY = "memory.available"
    NODE_DISK = "nodefs.available"
    NODE_INODES = "nodefs.inodesFree"
    IMAGE_DISK = "imagefs.available"
    IMAGE_INODES = "imagefs.inodesFree"
    PIDS = "pid.available"


CONDITIONS = {
    Signal.MEMORY: "MemoryPressure",
    Signal.NODE_DISK: "DiskPressure",
    Signal.NODE_INODES: "DiskPressure",
    Signal.IMAGE_DISK: "DiskPressure",
    Signal.IMAGE_INODES: "DiskPressure",
    Signal.PIDS: "PIDPressure",
}
# What is short, in events and in the message of an evicted pod.
RESOURCES = {
    Signal.MEMORY: "memory",
    Signal.NODE_DISK: "ephemeral-storage",
    Signal.NODE_INODES: "inodes",
    Signal.IMAGE_DISK: "ephemeral-storage",
    Signal.IMAGE_INODES: "inodes",
    Signal.PIDS: "pids",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How much of something there is; bytes, or pieces."""

    available: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """Below which value of a signal something is done; at once if there is no grace."""

    signal: Signal
    text: str  # a quantity, or a share as "10%"
    grace_seconds: float = 0.0
    min_reclaim: str = ""  # how much more than the threshold is to be won, once it was met

    def value(self, capacity: int) -> int:
        return _value(self.text, capacity)

    def reclaim(self, capacity: int) -> int:
        return _value(self.min_reclaim, capacity) if self.min_reclaim else 0

    @property
    def is_hard(self) -> bool:
        return self.grace_seconds == 0


def _value(text: str, capacity: int) -> int:
    if text.endswith("%"):
        return int(capacity * float(text[:-1]) / 100)
    return parse(text).value


def parse_thresholds(
    hard: Mapping[str, str],
    soft: Mapping[str, str],
    soft_grace_seconds: Mapping[str, float],
    min_reclaim: Mapping[str, str],
) -> Sequence[Threshold]:
    """Settings as thresholds, memory first as upstream acts. Raises ValueError."""
    made = [Threshold(Signal(s), text, 0.0, min_reclaim.get(s, "")) for s, text in hard.items()]
    for name, text in soft.items():
        if name not in soft_grace_seconds:
            raise ValueError(
                f"grace period must be specified for the soft eviction threshold {name}"
            )
        grace = soft_grace_seconds[name]
        made.append(Threshold(Signal(name), text, grace, min_reclaim.get(name, "")))
    return sorted(made, key=lambda t: (t.signal is not Signal.MEMORY, not t.is_hard))


@dataclass(frozen=True, slots=True)
class Watch:
    """What is remembered between two looks."""

    met_since: Mapping[Threshold, float] = field(default_factory=dict)
    pressure_until: Mapping[str, float] = field(default_factory=dict)  # by condition


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look has led to."""

    watch: Watch
    pressures: Sequence[str]  # conditions that are True
    due: Sequence[Threshold]  # for which something must be reclaimed now


def judge(
    watch: Watch,
    thresholds: Sequence[Threshold],
    readings: Mapping[Signal, Reading],
    *,
    now: float,
    transition_seconds: float,
) -> Verdict:
    """Which thresholds are met, for how long, and what follows.

    A condition stays for ``transition_seconds`` after its last threshold was met, so that it does
    not flap.
    """
    met = [t for t in thresholds if _is_met(t, readings.get(t.signal), watch)]
    since = {t: watch.met_since.get(t, now) for t in met}
    due = [t for t in met if now - since[t] >= t.grace_seconds]
    until = dict(watch.pressure_until)
    for threshold in due:
        until[CONDITIONS[threshold.signal]] = now + transition_seconds
    pressures = sorted(
        {CONDITIONS[t.signal] for t in due} | {c for c, at in until.items() if at > now}
    )
    watch = replace(watch, met_since=since, pressure_until=until)
    return Verdict(watch, pressures, due)


def _is_met(threshold: Threshold, reading: Reading | None, watch: Watch) -> bool:
    if reading is None:
        return False
    value = threshold.value(reading.capacity)
    if threshold in watch.met_since:
        value += threshold.reclaim(reading.capacity)
    return reading.available < value
