"""Hints: at which NUMA nodes a resource could be given, and what becomes of all hints together.

Pure. Semantics: upstream's ``topologymanager/policy*.go``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from sagong.node.alignment.topology import Topology


@dataclass(frozen=True, slots=True)
class Hint:
    """A set of NUMA nodes, None for any; preferred if no smaller set could do."""

    nodes: frozenset[int] | None
    preferred: bool


# Of one giver, by resource: None where it does not care, empty where no set of nodes would do.
Hints = Mapping[str, Sequence[Hint] | None]
ANYWHERE = Hint(None, True)


@dataclass(frozen=True, slots=True)
class Room:
    """What is asked of one resource, and how much of it each NUMA node has."""

    wanted: int
    total: Mapping[int, int]  # whether free or not: decides what is preferred
    free: Mapping[int, int]
    # What the pod holds already and must keep to: every set of nodes has to have all of it.
    reused: Mapping[int, int]


def hints_for(topology: Topology, room: Room) -> list[Hint]:
    """The sets of nodes that have enough; those of the least size that could ever do preferred."""
    smallest = len(topology.numa_nodes)
    found: list[frozenset[int]] = []
    for nodes in topology.node_sets():
        if _of(room.total, nodes) >= room.wanted:
            smallest = min(smallest, len(nodes))
        if _of(room.reused, nodes) < sum(room.reused.values()):
            continue
        if _of(room.reused, nodes) + _of(room.free, nodes) >= room.wanted:
            found.append(nodes)
    return [Hint(nodes, len(nodes) == smallest) for nodes in found]


def _of(amounts: Mapping[int, int], nodes: frozenset[int]) -> int:
    return sum(amounts.get(node, 0) for node in nodes)


@dataclass(frozen=True, slots=True)
class Narrowness:
    """The order of sets of nodes: fewer first, then nearer to one another if that is preferred,
    then lower numbers."""

    topology: Topology
    everywhere: frozenset[int]
    prefers_closest: bool

    def of(self, hint: Hint) -> tuple[int, float, int]:
        nodes = self.everywhere if hint.nodes is None else hint.nodes
        distance = self.topology.mean_distance(nodes) if self.prefers_closest else 0.0
        return len(nodes), distance, sum(1 << node for node in nodes)


@dataclass(frozen=True, slots=True)
class Decision:
    hint: Hint
    is_admitted: bool


def decide(
    policy: str, given: Iterable[Hints], topology: Topology, *, prefer_closest: bool = False
) -> Decision:
    """What a policy makes of the hints of all givers."""
    everywhere = frozenset(topology.numa_nodes)
    if policy == "none":
        return Decision(ANYWHERE, True)
    columns = [column for hints in given for column in _columns(hints)]
    if policy == "single-numa-node":
        columns = [[h for h in column if _is_single(h)] for column in columns]
    best = _merged(columns, Narrowness(topology, everywhere, prefer_closest))
    if best is None:
        best = Hint(everywhere, False)
    if policy == "single-numa-node" and best.nodes == everywhere:
        best = Hint(None, best.preferred)
    return Decision(best, policy == "best-effort" or best.preferred)


def _columns(hints: Hints) -> list[Sequence[Hint]]:
    if not hints:
        return [[ANYWHERE]]
    columns: list[Sequence[Hint]] = []
    for listed in hints.values():
        if listed is None:
            columns.append([ANYWHERE])
        else:
            columns.append(listed or [Hint(None, False)])
    return columns


def _is_single(hint: Hint) -> bool:
    return hint.preferred and (hint.nodes is None or len(hint.nodes) == 1)


def _merged(columns: Sequence[Sequence[Hint]], narrowness: Narrowness) -> Hint | None:
    """The best of what one hint of each column leaves in common."""
    target = _target(columns)
    best: Hint | None = None
    for chosen in product(*columns):
        sets = [hint.nodes for hint in chosen if hint.nodes is not None]
        nodes = narrowness.everywhere.intersection(*sets)
        candidate = Hint(nodes, all(hint.preferred for hint in chosen))
        if nodes and (best is None or _is_better(candidate, best, target, narrowness)):
            best = candidate
    return best


def _target(columns: Sequence[Sequence[Hint]]) -> int:
    """How many nodes the neediest resource takes at least, for want of a preferred hint."""
    needed = 0
    for column in columns:
        sizes = [len(hint.nodes) for hint in column if hint.nodes is not None]
        needed = max(needed, min(sizes, default=0))
    return needed


def _is_better(candidate: Hint, best: Hint, target: int, narrowness: Narrowness) -> bool:
    if candidate.preferred != best.preferred:
        return candidate.preferred
    new, now = narrowness.of(candidate), narrowness.of(best)
    if candidate.preferred or now[0] > target:
        return new < now
    if now[0] == target:
        return new[0] == target and new < now
    return new[0] <= target and (new[0] > now[0] or (new[0] == now[0] and new < now))
