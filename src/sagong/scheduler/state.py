"""Everything that a scheduling decision looks at, kept in step with the cluster."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sagong.scheduler.columns import Mask, NodeColumns, NodeFacts, Slot
from sagong.scheduler.pod import Disk, HostPort, PodFacts
from sagong.scheduler.resources import CPU, MEMORY
from sagong.scheduler.terms import Namespaces, PodTerms

# Columns of what scoring takes pods to use, apart from what they really request.
SCORING = {CPU: "scoring/cpu", MEMORY: "scoring/memory"}

ClaimKey = tuple[str, str]  # namespace, name
# The CSI driver of a claim's volume, or "" if it has none.
DriverOf = Callable[[ClaimKey], str]


def attached(driver: str) -> str:
    """The column of how many of a CSI driver's volumes nodes have, or (allocatable) may have."""
    return f"attached/{driver}"


class HostPorts:
    """Which ports of which nodes are taken."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, int], dict[Slot, list[str]]] = {}

    def take(self, slot: Slot, ports: Iterable[HostPort]) -> None:
        for protocol, address, port in ports:
            self._taken.setdefault((protocol, port), {}).setdefault(slot, []).append(address)

    def give_back(self, slot: Slot, ports: Iterable[HostPort]) -> None:
        for protocol, address, port in ports:
            holders = self._taken.get((protocol, port), {})
            addresses = holders.get(slot, [])
            if address in addresses:
                addresses.remove(address)
            if not addresses:
                holders.pop(slot, None)

    def conflicting(self, wanted: HostPort) -> list[Slot]:
        """Nodes where the port is taken on the same address, or on all of them."""
        protocol, address, port = wanted
        return [
            slot
            for slot, taken in self._taken.get((protocol, port), {}).items()
            if taken and (address == "0.0.0.0" or "0.0.0.0" in taken or address in taken)
        ]


class Storage:
    """Which claims and disks the pods on nodes use."""

    def __init__(self, columns: NodeColumns, driver_of: DriverOf) -> None:
        self._columns = columns
        self._driver_of = driver_of
        # By claim: the nodes where pods use it, how many do, and the driver counted there.
        self._claims: dict[ClaimKey, dict[Slot, tuple[int, str]]] = {}
        # By disk: how many pods of a node use it, for writing and for reading only.
        self._disks: dict[tuple[str, tuple[str, ...]], dict[Slot, list[int]]] = {}

    def count(self, pod: PodFacts, slot: Slot, sign: int) -> None:
        for name in pod.claims:
            self._count_claim((pod.key.namespace, name), slot, sign)
        for kind, identity, read_only in pod.template.disks:
            users = self._disks.setdefault((kind, identity), {}).setdefault(slot, [0, 0])
            users[read_only] += sign

    def users(self, claim: ClaimKey) -> int:
        """How many pods on nodes use a claim."""
        return sum(count for count, _ in self._claims.get(claim, {}).values())

    def nodes_with(self, claim: ClaimKey) -> Iterable[Slot]:
        """Nodes that have a claim's volume already."""
        return self._claims.get(claim, {}).keys()

    def nodes_in_conflict(self, disk: Disk) -> list[Slot]:
        """Nodes where a disk cannot be mounted once more."""
        kind, identity, read_only = disk
        return [
            slot
            for slot, (writers, readers) in self._disks.get((kind, identity), {}).items()
            if writers or (readers and not read_only)
        ]

    def _count_claim(self, claim: ClaimKey, slot: Slot, sign: int) -> None:
        nodes = self._claims.setdefault(claim, {})
        users, driver = nodes.get(slot, (0, ""))
        if sign > 0 and not users:
            driver = self._driver_of(claim)
            if driver:
                self._columns.requested(attached(driver))[slot] += 1
        users += sign
        if users > 0:
            nodes[slot] = (users, driver)
            return
        nodes.pop(slot, None)
        if driver:
            self._columns.requested(attached(driver))[slot] -= 1
        if not nodes:
            del self._claims[claim]


@dataclass(slots=True)
class State:
    """Nodes and the pods on them, the assumed ones included."""

    columns: NodeColumns
    terms: PodTerms
    storage: Storage
    ports: HostPorts = field(default_factory=HostPorts)
    _node_of: dict[str, str] = field(default_factory=dict)
    _pods_on: dict[str, dict[str, PodFacts]] = field(default_factory=dict)

    @classmethod
    def empty(cls, namespaces: Namespaces, driver_of: DriverOf = lambda claim: "") -> "State":
        """A state without nodes. ``namespaces`` gives every namespace's labels."""
        columns = NodeColumns()
        return cls(columns, PodTerms(columns, namespaces), Storage(columns, driver_of))

    def set_node(self, facts: NodeFacts) -> None:
        known = self.columns.slot(facts.name) is not None
        slot = self.columns.set_node(facts)
        if not known:
            # Pods may be seen before their node: they are counted once it is there.
            for pod in self._pods_on.get(facts.name, {}).values():
                self._count(pod, slot, 1)

    def remove_node(self, name: str) -> None:
        slot = self.columns.slot(name)
        if slot is None:
            return
        for pod in self._pods_on.get(name, {}).values():
            self._count(pod, slot, -1)
        self.columns.remove_node(name)

    def place(self, pod: PodFacts, node: str) -> None:
        """A pod is on a node, or is assumed to be; replaces what was known of the pod."""
        self.displace(pod.uid)
        self._node_of[pod.uid] = node
        self._pods_on.setdefault(node, {})[pod.uid] = pod
        slot = self.columns.slot(node)
        if slot is not None:
            self._count(pod, slot, 1)

    def displace(self, uid: str) -> PodFacts | None:
        """A pod is gone, has ended, or is not placed after all; the pod, if it was placed."""
        node = self._node_of.pop(uid, None)
        if node is None:
            return None
        pods = self._pods_on[node]
        pod = pods.pop(uid)
        if not pods:
            del self._pods_on[node]
        slot = self.columns.slot(node)
        if slot is not None:
            self._count(pod, slot, -1)
        return pod

    def node_of(self, uid: str) -> str | None:
        """Where a pod is taken to be."""
        return self._node_of.get(uid)

    def pod(self, uid: str) -> PodFacts | None:
        """A pod that is placed."""
        node = self._node_of.get(uid)
        return None if node is None else self._pods_on[node][uid]

    def pods_on(self, node: str) -> list[PodFacts]:
        return list(self._pods_on.get(node, {}).values())

    def slots(self, mask: Mask) -> list[Slot]:
        return [Slot(int(i)) for i in np.flatnonzero(mask)]

    def _count(self, pod: PodFacts, slot: Slot, sign: int) -> None:
        template = pod.template
        self.columns.request(slot, template.requests, sign)
        self.columns.request(slot, _scoring(template.scoring_requests), sign)
        if sign > 0:
            self.terms.add(pod, slot)
        else:
            self.terms.remove(pod, slot)
        if template.host_ports:
            (self.ports.take if sign > 0 else self.ports.give_back)(slot, template.host_ports)
        if pod.claims or template.disks:
            self.storage.count(pod, slot, sign)
        self.columns.journal.note(slot)


def _scoring(requests: Mapping[str, int]) -> dict[str, int]:
    return {SCORING[resource]: amount for resource, amount in requests.items()}
