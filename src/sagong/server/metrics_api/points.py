"""What one scrape of an agent says, and the usage that lies between two scrapes. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LINE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)(?: (\d+))?$")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')

# namespace, pod, container; all three empty for the node.
Subject = tuple[str, str, str]
NODE: Subject = ("", "", "")
_CPU = {"container_cpu_usage_seconds_total", "node_cpu_usage_seconds_total"}
_MEMORY = {"container_memory_working_set_bytes", "node_memory_working_set_bytes"}


@dataclass(frozen=True, slots=True)
class Point:
    """One subject at one time: CPU seconds since its start, bytes of its working set."""

    at: float  # seconds since the epoch
    cpu_seconds: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a subject used over a window that ended at ``at``."""

    at: float
    window_seconds: float
    cpu_nano_cores: int
    memory_bytes: int


def parse_points(text: str) -> Mapping[Subject, Point]:
    """The subjects of ``/metrics/resource`` for which both CPU and memory are told."""
    cpu: dict[Subject, tuple[float, float]] = {}
    memory: dict[Subject, int] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or match[1] not in _CPU | _MEMORY:
            continue
        labels = dict(_LABEL.findall(match[2] or ""))
        get = labels.get
        subject = (get("namespace", ""), get("pod", ""), get("container", ""))
        if match[1] in _CPU:
            cpu[subject] = (float(match[4] or 0) / 1000, float(match[3]))
        else:
            memory[subject] = int(float(match[3]))
    return {s: Point(*cpu[s], memory[s]) for s in cpu if s in memory}


def usage_between(earlier: Point, later: Point) -> Usage | None:
    """None if no time has passed, or if the counter began anew (a restart)."""
    window = later.at - earlier.at
    used = later.cpu_seconds - earlier.cpu_seconds
    if window <= 0 or used < 0:
        return None
    return Usage(later.at, window, int(used / window * 1e9), later.memory_bytes)
