"""At which NUMA nodes containers have their memory (memory policy Static). Outlives the agent.

A container of a Guaranteed pod is bound to a set of nodes. Sets that are in use never overlap in
part: a node belongs to containers of itself alone or of one and the same larger set.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from sagong.api.quantities import parse
from sagong.api.types import Obj
from sagong.core.atomic_files import write_atomically
from sagong.node.alignment.asked import at_once, lasting_containers, pinned_memory
from sagong.node.alignment.failures import AllotmentFailure
from sagong.node.alignment.hints import Hint, Hints
from sagong.node.alignment.settings import AlignmentSettings
from sagong.node.alignment.topology import Topology, format_cpu_list
from sagong.node.pods.model import Kind
from sagong.node.pods.spec import is_sidecar

log = logging.getLogger(__name__)

CHECKPOINT = "memory_manager_state"


@dataclass(frozen=True, slots=True)
class Block:
    """Memory of one kind that a container has at a set of nodes."""

    nodes: frozenset[int]
    type: str
    size: int  # less what a later container of the pod has taken over from it


class MemoryBooks:
    """One an agent."""

    def __init__(self, topology: Topology, settings: AlignmentSettings, directory: Path) -> None:
        self._topology = topology
        self._settings = settings
        self._file = directory / CHECKPOINT
        self._blocks: dict[str, dict[str, Sequence[Block]]] = {}
        self._total = {
            node: {
                name: size - parse(settings.reserved_memory.get(node, {}).get(name, "0")).value
                for name, size in kinds.items()
            }
            for node, kinds in topology.memory.items()
        }

    @property
    def is_static(self) -> bool:
        return self._settings.memory_policy == "Static"

    def own(self, uid: str, container: str) -> Sequence[Block]:
        return self._blocks.get(uid, {}).get(container, ())

    def nodes_of(self, uid: str, container: str) -> str:
        """What the runtime is told; "" for no restriction."""
        blocks = self.own(uid, container)
        return format_cpu_list(frozenset().union(*(block.nodes for block in blocks)))

    def allocatable(self) -> Mapping[int, Mapping[str, int]]:
        return self._total if self.is_static else {}

    # Giving

    def hints(self, pod: Obj, kind: Kind, container: Obj) -> Hints:
        wanted = pinned_memory(pod, container) if self.is_static else {}
        return self._told(wanted, self._possible(pod, wanted))

    def pod_hints(self, pod: Obj) -> Hints:
        if not self.is_static:
            return {}
        names = {n for _, c in lasting_containers(pod) for n in pinned_memory(pod, c)}

        def total(name: str) -> int:
            return at_once(pod, lambda container: pinned_memory(pod, container).get(name, 0))

        wanted = {name: total(name) for name in sorted(names)}
        return self._told(wanted, self._possible(pod, wanted))

    def _told(self, wanted: Mapping[str, int], possible: Mapping[frozenset[int], bool]) -> Hints:
        hints = [Hint(nodes, preferred) for nodes, preferred in possible.items()]
        return dict.fromkeys(wanted, hints)

    def _possible(self, pod: Obj, wanted: Mapping[str, int]) -> Mapping[frozenset[int], bool]:
        """The sets of nodes that have all kinds, and whether they are of the least size."""
        if not wanted:
            return {}
        smallest = len(self._topology.numa_nodes)
        found = []
        groups = self._groups()
        for nodes in self._topology.node_sets():
            total = {name: sum(self._total[n].get(name, 0) for n in nodes) for name in wanted}
            if any(total[name] < size for name, size in wanted.items()):
                continue
            smallest = min(smallest, len(nodes))
            if any(groups.get(node, nodes) != nodes for node in nodes):
                continue
            reused = self._reusable(pod, nodes)
            free = {n: total[n] - self._used(nodes, n) + reused.get(n, 0) for n in wanted}
            if all(free[name] >= size for name, size in wanted.items()):
                found.append(nodes)
        return {nodes: len(nodes) == smallest for nodes in found}

    def _groups(self) -> Mapping[int, frozenset[int]]:
        """The set that each node in use belongs to."""
        return {node: block.nodes for block in self._all() for node in block.nodes}

    def _all(self) -> list[Block]:
        return [b for held in self._blocks.values() for blocks in held.values() for b in blocks]

    def _used(self, nodes: frozenset[int], name: str) -> int:
        """Sets in use do not overlap in part: what is used at these nodes is used by this set."""
        return sum(b.size for b in self._all() if b.type == name and b.nodes == nodes)

    def _reusable(self, pod: Obj, nodes: frozenset[int]) -> Mapping[str, int]:
        """What init containers of the pod had at the same nodes."""
        found: dict[str, int] = {}
        for name in self._ended(pod):
            for block in self.own(str(pod["metadata"]["uid"]), name):
                if block.nodes == nodes:
                    found[block.type] = found.get(block.type, 0) + block.size
        return found

    def _ended(self, pod: Obj) -> list[str]:
        return [
            container["name"]
            for kind, container in lasting_containers(pod)
            if kind is Kind.INIT and not is_sidecar(container)
        ]

    async def allocate(
        self, pod: Obj, kind: Kind, container: Obj, nodes: frozenset[int] | None
    ) -> None:
        """Bind a container; again does nothing. Raises AllotmentFailure."""
        wanted = pinned_memory(pod, container) if self.is_static else {}
        uid, name = str(pod["metadata"]["uid"]), container["name"]
        if not wanted or self.own(uid, name):
            return
        possible = self._possible(pod, wanted)
        chosen = self._choose(possible, nodes)
        self._take_over(pod, chosen, wanted)
        blocks = [Block(chosen, kind_, size) for kind_, size in wanted.items()]
        self._blocks.setdefault(uid, {})[name] = blocks
        self._save()

    def _choose(
        self, possible: Mapping[frozenset[int], bool], nodes: frozenset[int] | None
    ) -> frozenset[int]:
        """The hint's nodes; or the smallest set, around them if there is a hint."""
        fitting = [found for found in possible if nodes is None or nodes <= found]
        if not fitting:
            text = "failed to get the default NUMA affinity, no NUMA nodes with enough memory"
            raise AllotmentFailure(f"[memorymanager] {text} is available")
        return min(fitting, key=lambda found: (not possible[found], len(found), sorted(found)))

    def _take_over(self, pod: Obj, nodes: frozenset[int], wanted: Mapping[str, int]) -> None:
        """Let init containers' blocks shrink by what is now used in their place."""
        uid, left = str(pod["metadata"]["uid"]), dict(wanted)
        for name in self._ended(pod):
            kept = []
            for block in self.own(uid, name):
                taken = min(block.size, left.get(block.type, 0)) if block.nodes == nodes else 0
                left[block.type] = left.get(block.type, 0) - taken
                kept.append(Block(block.nodes, block.type, block.size - taken))
            if kept:
                self._blocks[uid][name] = kept

    def release(self, uid: str) -> None:
        """A pod has ended."""
        if self._blocks.pop(uid, None) is not None:
            self._save()

    def keep_only(self, uids: set[str]) -> None:
        for uid in set(self._blocks) - uids:
            self.release(uid)

    # The books

    def load(self) -> None:
        try:
            kept = orjson.loads(self._file.read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            kept = {}
        if kept.get("policyName") not in (None, self._settings.memory_policy):
            log.warning("%s is of policy %s: begun anew", self._file, kept["policyName"])
            kept = {}
        for uid, containers in (kept.get("entries") or {}).items():
            self._blocks[uid] = {
                name: [Block(frozenset(b["numaAffinity"]), b["type"], b["size"]) for b in blocks]
                for name, blocks in containers.items()
            }
        self._save()

    def _save(self) -> None:
        entries = {
            uid: {
                name: [
                    {"numaAffinity": sorted(b.nodes), "type": b.type, "size": b.size}
                    for b in blocks
                ]
                for name, blocks in held.items()
            }
            for uid, held in self._blocks.items()
        }
        facts = {"policyName": self._settings.memory_policy, "entries": entries}
        write_atomically(self._file, orjson.dumps(facts))
