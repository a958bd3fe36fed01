"""Which free processors a container gets: near to one another, breaking up as little as possible.

Whole NUMA nodes and sockets first where that many are asked for, then whole caches if wanted, whole
cores, and single processors of cores that are broken up already. Pure.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import pstdev

from sagong.node.alignment.failures import AllotmentFailure
from sagong.node.alignment.topology import Cpu, Topology


@dataclass(slots=True)
class _Taker:
    topology: Topology
    free: set[int]
    wanted: int
    taken: set[int] = field(default_factory=set)

    @property
    def missing(self) -> int:
        return self.wanted - len(self.taken)

    def take(self, cpus: Iterable[int]) -> None:
        chosen = set(cpus)
        self.taken |= chosen
        self.free -= chosen

    def take_whole(self, level: Callable[[Cpu], int]) -> None:
        """Groups of a level that are entirely free, while one is asked for in whole."""
        for group in self._in_order({level(self.topology.cpus[c]) for c in self.free}, level):
            members = {c for c, cpu in self.topology.cpus.items() if level(cpu) == group}
            if members <= self.free and len(members) <= self.missing:
                self.take(members)

    def take_from_caches(self) -> None:
        """Whole caches, then what is missing from one that has enough whole cores left."""
        self.take_whole(_cache)
        for group in self._in_order({_cache(self.topology.cpus[c]) for c in self.free}, _cache):
            members = {c for c in self.free if _cache(self.topology.cpus[c]) == group}
            if 0 < self.missing <= len(members):
                inner = _Taker(self.topology, members, self.missing)
                inner.take_cores_and_rest()
                self.take(inner.taken)

    def take_cores_and_rest(self) -> None:
        for core in self._cores():
            members = {c for c, cpu in self.topology.cpus.items() if cpu.core == core}
            if members <= self.free and len(members) <= self.missing:
                self.take(members)
        # Cores with the fewest free processors come first: those that are broken up.
        left = [c for core in self._cores() for c in sorted(self._of_core(core))]
        self.take(left[: self.missing])

    def _cores(self) -> list[int]:
        """Cores with free processors, by the emptiest socket and node, best fit first."""
        outer, inner = (_socket, _numa) if self._is_socket_larger() else (_numa, _socket)
        return [
            core
            for first in self._in_order(self._groups(self.free, outer), outer)
            for second in self._in_order(
                self._groups((c for c in self.free if self._level(c, outer) == first), inner), inner
            )
            for core in self._in_order(
                {
                    self.topology.cpus[c].core
                    for c in self.free
                    if (self._level(c, outer), self._level(c, inner)) == (first, second)
                },
                _core,
            )
        ]

    def _is_socket_larger(self) -> bool:
        return self.topology.sockets < len(self.topology.numa_nodes)

    def _level(self, cpu: int, level: Callable[[Cpu], int]) -> int:
        return level(self.topology.cpus[cpu])

    def _groups(self, cpus: Iterable[int], level: Callable[[Cpu], int]) -> set[int]:
        return {self._level(c, level) for c in cpus}

    def _of_core(self, core: int) -> set[int]:
        return {c for c in self.free if self.topology.cpus[c].core == core}

    def _in_order(self, groups: Iterable[int], level: Callable[[Cpu], int]) -> list[int]:
        """Those with the fewest free processors first."""
        counts: dict[int, int] = {}
        for cpu in self.free:
            group = self._level(cpu, level)
            counts[group] = counts.get(group, 0) + 1
        return sorted(groups, key=lambda group: (counts.get(group, 0), group))

    def run(self, *, prefer_cache: bool) -> frozenset[int]:
        levels = [_socket, _numa] if self._is_socket_larger() else [_numa, _socket]
        for level in levels:
            self.take_whole(level)
        if prefer_cache:
            self.take_from_caches()
        self.take_cores_and_rest()
        return frozenset(self.taken)


def _core(cpu: Cpu) -> int:
    return cpu.core


def _cache(cpu: Cpu) -> int:
    return cpu.cache


def _numa(cpu: Cpu) -> int:
    return cpu.numa


def _socket(cpu: Cpu) -> int:
    return cpu.socket


def take_packed(
    topology: Topology, free: frozenset[int], count: int, *, prefer_cache: bool = False
) -> frozenset[int]:
    """``count`` processors as near to one another as there are. Raises AllotmentFailure."""
    _check(free, count)
    return _Taker(topology, set(free), count).run(prefer_cache=prefer_cache)


def take_spread(
    topology: Topology, free: frozenset[int], count: int, *, group: int
) -> frozenset[int]:
    """As many from each of as few NUMA nodes as can hold them, in groups of ``group``; packed
    where that cannot be. Raises AllotmentFailure."""
    _check(free, count)
    by_node = {n: topology.in_numa([n], free) for n in topology.numa_nodes}
    if count % group == 0:
        for size in range(1, len(by_node) + 1):
            shares = _shares(by_node, count, size, group)
            if shares is not None:
                return frozenset().union(
                    *(take_packed(topology, by_node[n], share) for n, share in shares.items())
                )
    return take_packed(topology, free, count)


def _shares(
    by_node: dict[int, frozenset[int]], count: int, size: int, group: int
) -> dict[int, int] | None:
    """How many of each of ``size`` nodes, leaving the nodes as even as can be; None if no such
    set of nodes has enough."""
    best: tuple[float, dict[int, int]] | None = None
    each = count // size // group * group
    extra = (count - each * size) // group
    for nodes in combinations(sorted(by_node), size):
        if each == 0 or any(len(by_node[n]) < each for n in nodes):
            continue
        roomy = [n for n in nodes if len(by_node[n]) >= each + group]
        for more in combinations(roomy, extra):
            shares = {n: each + (group if n in more else 0) for n in nodes}
            left = [len(cpus) - shares.get(n, 0) for n, cpus in by_node.items()]
            if best is None or pstdev(left) < best[0]:
                best = pstdev(left), shares
    return best[1] if best is not None else None


def _check(free: Sequence[int] | frozenset[int], count: int) -> None:
    if count > len(free):
        raise AllotmentFailure(
            f"not enough cpus available to satisfy request: requested={count}, "
            f"available={len(free)}"
        )
