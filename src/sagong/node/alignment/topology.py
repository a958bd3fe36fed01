"""The machine's processors and memory, and how near they are to one another: read from /sys."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

SYS = Path("/sys")
_HUGE = re.compile(r"hugepages-(\d+)kB")


@dataclass(frozen=True, slots=True)
class Cpu:
    """One logical processor."""

    id: int
    core: int  # the lowest processor of the core: unique on the machine
    socket: int
    numa: int
    cache: int  # the group that shares the last cache, likewise


@dataclass(frozen=True, slots=True)
class Topology:
    """What does not change while the agent runs."""

    cpus: Mapping[int, Cpu]
    memory: Mapping[int, Mapping[str, int]]  # NUMA node: memory, hugepages-...: bytes
    distances: Mapping[int, Sequence[int]]  # from a NUMA node to each, in order

    @property
    def all_cpus(self) -> frozenset[int]:
        return frozenset(self.cpus)

    @property
    def numa_nodes(self) -> Sequence[int]:
        return sorted(self.memory)

    @property
    def sockets(self) -> int:
        return len({cpu.socket for cpu in self.cpus.values()})

    @property
    def cpus_per_core(self) -> int:
        return max(1, len(self.cpus) // max(1, len({cpu.core for cpu in self.cpus.values()})))

    def in_numa(self, nodes: Iterable[int], among: Iterable[int] | None = None) -> frozenset[int]:
        """The processors at these NUMA nodes."""
        wanted = set(nodes)
        listed = self.cpus if among is None else among
        return frozenset(cpu for cpu in listed if self.cpus[cpu].numa in wanted)

    def node_sets(self) -> Sequence[frozenset[int]]:
        """Every non-empty set of NUMA nodes, the small ones first."""
        nodes = self.numa_nodes
        return [
            frozenset(chosen)
            for size in range(1, len(nodes) + 1)
            for chosen in combinations(nodes, size)
        ]

    def mean_distance(self, nodes: frozenset[int]) -> float:
        """How far the nodes of a set are from one another."""
        order = {node: place for place, node in enumerate(self.numa_nodes)}
        found = [self.distances[a][order[b]] for a in nodes for b in nodes]
        return sum(found) / max(1, len(found))


def read_topology(root: Path = SYS) -> Topology:
    """From the kernel's files, or a tree like them. Without NUMA all is at node 0."""
    system = root / "devices" / "system"
    nodes = {
        int(entry.name[4:]): entry
        for entry in sorted((system / "node").glob("node[0-9]*"))
        if entry.is_dir()
    }
    numa_of = {
        cpu: node
        for node, entry in nodes.items()
        for cpu in parse_cpu_list(_read(entry / "cpulist"))
    }
    online = parse_cpu_list(_read(system / "cpu" / "online")) or frozenset(
        range(os.cpu_count() or 1)
    )
    cpus = {cpu: _cpu(system / "cpu", cpu, numa_of.get(cpu, 0)) for cpu in sorted(online)}
    if not nodes:
        return Topology(cpus, {0: {"memory": _total_memory()}}, {0: [10]})
    distances = {
        node: [int(word) for word in _read(entry / "distance").split()] or [10] * len(nodes)
        for node, entry in nodes.items()
    }
    return Topology(cpus, {node: _memory(entry) for node, entry in nodes.items()}, distances)


def _cpu(directory: Path, cpu: int, numa: int) -> Cpu:
    topology = directory / f"cpu{cpu}" / "topology"
    siblings = parse_cpu_list(
        _read(topology / "core_cpus_list") or _read(topology / "thread_siblings_list")
    )
    socket = int(_read(topology / "physical_package_id") or 0)
    return Cpu(cpu, min(siblings, default=cpu), max(socket, 0), numa, _last_cache(directory, cpu))


def _last_cache(directory: Path, cpu: int) -> int:
    """The lowest processor of those that share the highest cache."""
    level, group = 0, frozenset({cpu})
    for entry in (directory / f"cpu{cpu}" / "cache").glob("index[0-9]*"):
        own = int(_read(entry / "level") or 0)
        shared = parse_cpu_list(_read(entry / "shared_cpu_list"))
        if own > level and shared:
            level, group = own, shared
    return min(group)


def _memory(node: Path) -> Mapping[str, int]:
    found = {"memory": 0}
    for line in _read(node / "meminfo").splitlines():
        words = line.split()
        if len(words) >= 4 and words[2] == "MemTotal:":
            found["memory"] = int(words[3]) * 1024
    for entry in sorted((node / "hugepages").glob("hugepages-*kB")):
        match = _HUGE.fullmatch(entry.name)
        if match is not None:
            size = int(match[1]) * 1024
            found[f"hugepages-{_binary(size)}"] = int(_read(entry / "nr_hugepages") or 0) * size
    return found


def _binary(size: int) -> str:
    for unit, name in ((1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")):
        if size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)


def _total_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def parse_cpu_list(text: str) -> frozenset[int]:
    """``0-3,8`` as the kernel writes it. Raises ValueError."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, dash, last = part.partition("-")
        found.update(range(int(first), int(last if dash else first) + 1))
    return frozenset(found)


def format_cpu_list(cpus: Iterable[int]) -> str:
    """The shortest form: ranges where there are any."""
    parts: list[str] = []
    start = end = -2
    for cpu in [*sorted(cpus), -2]:
        if cpu == end + 1 and end >= 0:
            end = cpu
            continue
        if end >= 0:
            parts.append(str(start) if start == end else f"{start}-{end}")
        start = end = cpu
    return ",".join(parts)
