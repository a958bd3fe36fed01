"""Who has processors of their own (CPU policy static). The books outlive the agent.

Invariant: the shared processors and everybody's own make up the machine, and overlap only within
one pod, where a container has what an init container before it had.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import orjson

from sagong.api.types import Obj
from sagong.core.atomic_files import write_atomically
from sagong.node.alignment import settings as options
from sagong.node.alignment.asked import at_once, exclusive_cpus, lasting_containers
from sagong.node.alignment.failures import PartOfCore
from sagong.node.alignment.hints import Hints, Room, hints_for
from sagong.node.alignment.settings import AlignmentSettings
from sagong.node.alignment.taking import take_packed, take_spread
from sagong.node.alignment.topology import Topology, format_cpu_list, parse_cpu_list
from sagong.node.pods.model import Kind
from sagong.node.pods.spec import is_sidecar

log = logging.getLogger(__name__)

CHECKPOINT = "cpu_manager_state"
RESOURCE = "cpu"


class CpuBooks:
    """One an agent. ``changed`` is called when other processors are shared than before."""

    def __init__(
        self,
        topology: Topology,
        settings: AlignmentSettings,
        directory: Path,
        *,
        reserved_milli: int,
        changed: Callable[[], None],
    ) -> None:
        self._topology = topology
        self._settings = settings
        self._file = directory / CHECKPOINT
        self._changed = changed
        self._own: dict[str, dict[str, frozenset[int]]] = {}
        self.reserved: frozenset[int] = frozenset()
        if self.is_static:
            given = parse_cpu_list(settings.reserved_cpus) & topology.all_cpus
            count = -(-reserved_milli // 1000)
            self.reserved = given or take_packed(topology, topology.all_cpus, count)

    @property
    def is_static(self) -> bool:
        return self._settings.cpu_policy == "static"

    @property
    def shared(self) -> frozenset[int]:
        """Where everybody runs who has no processors of their own."""
        kept = self.reserved if self._settings.wants_cpus(options.STRICT_RESERVATION) else set()
        return self._topology.all_cpus - self._taken() - kept

    def own(self, uid: str, container: str) -> frozenset[int]:
        """Those that a container has for itself."""
        return self._own.get(uid, {}).get(container, frozenset())

    def has_own(self, uid: str) -> bool:
        return bool(self._own.get(uid))

    def cpus_of(self, uid: str, container: str) -> str:
        """What the runtime is told; "" for no restriction."""
        return format_cpu_list(self.own(uid, container) or self.shared) if self.is_static else ""

    def allocatable(self) -> frozenset[int]:
        return self._topology.all_cpus - self.reserved

    def _taken(self) -> frozenset[int]:
        return frozenset().union(*(c for held in self._own.values() for c in held.values()))

    def _free(self) -> frozenset[int]:
        return self._topology.all_cpus - self._taken() - self.reserved

    # Giving

    def hints(self, pod: Obj, kind: Kind, container: Obj) -> Hints:
        wanted = exclusive_cpus(pod, container) if self.is_static else 0
        return self._hints(wanted, self._reusable(pod)) if wanted else {}

    def pod_hints(self, pod: Obj) -> Hints:
        if not self.is_static:
            return {}
        wanted = at_once(pod, lambda container: exclusive_cpus(pod, container))
        return self._hints(wanted, frozenset()) if wanted else {}

    def _hints(self, wanted: int, reused: frozenset[int]) -> Hints:
        nodes = self._topology.numa_nodes

        def count(cpus: frozenset[int]) -> dict[int, int]:
            return {node: len(self._topology.in_numa([node], cpus)) for node in nodes}

        everything = count(self._topology.all_cpus)
        room = Room(wanted, everything, count(self._free() - reused), count(reused))
        return {RESOURCE: hints_for(self._topology, room)}

    async def allocate(
        self, pod: Obj, kind: Kind, container: Obj, nodes: frozenset[int] | None
    ) -> None:
        """Give a container its processors; again does nothing. Raises AllotmentFailure."""
        wanted = exclusive_cpus(pod, container) if self.is_static else 0
        uid, name = str(pod["metadata"]["uid"]), container["name"]
        if not wanted or self.own(uid, name):
            return
        reusable = self._reusable(pod)
        if self._settings.wants_cpus(options.FULL_CORES):
            self._check_cores(wanted, reusable)
        # What the pod has already comes first, so that it never holds more than it needs at once.
        chosen = self._take(reusable, min(wanted, len(reusable)))
        chosen |= self._choose(wanted - len(chosen), self._free(), nodes)
        self._own.setdefault(uid, {})[name] = chosen
        self._save()

    def _check_cores(self, wanted: int, reusable: frozenset[int]) -> None:
        per_core = self._topology.cpus_per_core
        if wanted % per_core:
            raise PartOfCore(wanted, per_core)
        # Of a core whose sibling is reserved nothing can be given.
        broken = {self._topology.cpus[cpu].core for cpu in self.reserved}
        whole = {c for c in self._free() if self._topology.cpus[c].core not in broken} | reusable
        if wanted > len(whole):
            raise PartOfCore(wanted, per_core, len(whole))

    def _choose(
        self, wanted: int, free: frozenset[int], nodes: frozenset[int] | None
    ) -> frozenset[int]:
        """From the nodes of the hint as far as they go."""
        if self._settings.wants_cpus(options.FULL_CORES):
            broken = {self._topology.cpus[cpu].core for cpu in self.reserved}
            free = frozenset(c for c in free if self._topology.cpus[c].core not in broken)
        near = self._topology.in_numa(nodes, free) if nodes is not None else frozenset()
        chosen = self._take(near, min(wanted, len(near)))
        return chosen | self._take(free - chosen, wanted - len(chosen))

    def _take(self, free: frozenset[int], count: int) -> frozenset[int]:
        if count == 0:
            return frozenset()
        if self._settings.wants_cpus(options.SPREAD_OVER_NUMA):
            whole = self._settings.wants_cpus(options.FULL_CORES)
            group = self._topology.cpus_per_core if whole else 1
            return take_spread(self._topology, free, count, group=group)
        cache = self._settings.wants_cpus(options.PREFER_CACHE)
        return take_packed(self._topology, free, count, prefer_cache=cache)

    def _reusable(self, pod: Obj) -> frozenset[int]:
        """What init containers had that have ended by the time the others start."""
        held = self._own.get(str(pod["metadata"]["uid"]), {})
        ended: set[int] = set()
        kept: set[int] = set()
        for kind, container in lasting_containers(pod):
            lasts = kind is Kind.MAIN or is_sidecar(container)
            (kept if lasts else ended).update(held.get(container["name"], ()))
        return frozenset(ended - kept)

    def release(self, uid: str) -> None:
        """A pod has ended."""
        if self._own.pop(uid, None) is not None:
            self._save()

    def keep_only(self, uids: set[str]) -> None:
        for uid in set(self._own) - uids:
            self.release(uid)

    # The books

    def load(self) -> None:
        """What an earlier agent has given. What does not fit this machine is forgotten: those
        containers then share, as all do."""
        try:
            kept = orjson.loads(self._file.read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            kept = {}
        if kept.get("policyName") not in (None, self._settings.cpu_policy):
            log.warning("%s is of policy %s: begun anew", self._file, kept["policyName"])
            kept = {}
        for uid, containers in (kept.get("entries") or {}).items():
            held = {name: parse_cpu_list(text) for name, text in containers.items()}
            allowed = self._topology.all_cpus - self.reserved - self._taken()
            if all(cpus <= allowed for cpus in held.values()):
                self._own[uid] = held
            else:
                log.error("the processors of pod %s are not there, or not free: %s", uid, held)
        self._save()

    def _save(self) -> None:
        entries = {
            uid: {name: format_cpu_list(cpus) for name, cpus in held.items()}
            for uid, held in self._own.items()
        }
        shared = format_cpu_list(self.shared) if self.is_static else ""
        facts = {"policyName": self._settings.cpu_policy, "defaultCpuSet": shared}
        write_atomically(self._file, orjson.dumps({**facts, "entries": entries}))
        self._changed()
