"""What a cgroup has used, read from its files: cgroup v1 and v2."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_NO_LIMIT = 1 << 60  # v1 writes a number near 2^63 where there is no limit


@dataclass(frozen=True, slots=True)
class Figures:
    """One look at a cgroup. Sizes are bytes; the limit is None where there is none."""

    cpu_nanos: int
    memory_usage: int
    working_set: int
    rss: int
    page_faults: int
    major_page_faults: int
    memory_limit: int | None
    processes: int


@dataclass(frozen=True, slots=True)
class CgroupFiles:
    """Where cgroups are mounted: one hierarchy (v2) or one a controller (v1)."""

    mount: Path
    is_unified: bool

    def read(self, name: str) -> Figures | None:
        """A cgroup by its path below the mount, "" for the root; None if it is gone."""
        try:
            return self._unified(self.mount / name) if self.is_unified else self._legacy(name)
        except (OSError, ValueError, KeyError):
            return None

    def first_process(self, name: str) -> int | None:
        """A process of a cgroup, None if there is none."""
        base = self.mount if self.is_unified else self.mount / "memory"
        try:
            pids = (base / name / "cgroup.procs").read_text().split(maxsplit=1)
        except OSError:
            return None
        return int(pids[0]) if pids else None

    def _legacy(self, name: str) -> Figures:
        memory = self.mount / "memory" / name
        stat = _pairs(memory / "memory.stat")
        usage = _number(memory / "memory.usage_in_bytes")
        limit = _number(memory / "memory.limit_in_bytes")
        return Figures(
            cpu_nanos=_number(self.mount / "cpuacct" / name / "cpuacct.usage"),
            memory_usage=usage,
            working_set=max(0, usage - stat.get("total_inactive_file", 0)),
            rss=stat.get("total_rss", 0),
            page_faults=stat.get("total_pgfault", 0),
            major_page_faults=stat.get("total_pgmajfault", 0),
            memory_limit=limit if limit < _NO_LIMIT else None,
            processes=_count(self.mount / "pids" / name / "pids.current"),
        )

    def _unified(self, directory: Path) -> Figures:
        stat = _pairs(directory / "memory.stat")
        # The root of v2 has no memory.current: what is in use is the machine's affair.
        current = directory / "memory.current"
        usage = _number(current) if current.exists() else memory_in_use()
        limit = directory / "memory.max"
        text = limit.read_text().strip() if limit.exists() else "max"
        return Figures(
            cpu_nanos=_pairs(directory / "cpu.stat")["usage_usec"] * 1000,
            memory_usage=usage,
            working_set=max(0, usage - stat.get("inactive_file", 0)),
            rss=stat.get("anon", 0),
            page_faults=stat.get("pgfault", 0),
            major_page_faults=stat.get("pgmajfault", 0),
            memory_limit=None if text == "max" else int(text),
            processes=_count(directory / "pids.current"),
        )


def memory_in_use() -> int:
    """Bytes of the machine's memory that are not free."""
    found = _pairs(Path("/proc/meminfo"))
    return (found["MemTotal:"] - found["MemFree:"]) * 1024


def _number(path: Path) -> int:
    return int(path.read_text())


def _count(path: Path) -> int:
    try:
        return _number(path)
    except OSError:
        return 0  # the pids controller is not always there


def _pairs(path: Path) -> Mapping[str, int]:
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1}
