"""Everything that a scheduling decision looks at, kept in step with the cluster."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from sagong.scheduler.columns import Mask, NodeColumns, NodeFacts, Slot
from sagong.scheduler.pod import HostPort, PodFacts
from sagong.scheduler.resources import CPU, MEMORY
from sagong.scheduler.terms import Namespaces, PodTerms

# Columns of what scoring takes pods to use, apart from what they really request.
SCORING = {CPU: "scoring/cpu", MEMORY: "scoring/memory"}


class HostPorts:
    """Which ports of which nodes are taken."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, int], dict[Slot, list[str]]] = {}

    def take(self, slot: Slot, ports: Iterable[HostPort]) -> None:
        for protocol, address, port in ports:
            self._taken.setdefault((protocol, port), {}).setdefault(slot, []).append(address)

    def give_back(self, slot: Slot, ports: Iterable[HostPort]) -> None:
        for protocol, address, port in ports:
            addresses = self._taken.get((protocol, port), {}).get(slot, [])
            if address in addresses:
                addresses.remove(address)

    def conflicting(self, wanted: HostPort) -> list[Slot]:
        """Nodes where the port is taken on the same address, or on all of them."""
        protocol, address, port = wanted
        return [
            slot
            for slot, taken in self._taken.get((protocol, port), {}).items()
            if taken and (address == "0.0.0.0" or "0.0.0.0" in taken or address in taken)
        ]


@dataclass(slots=True)
class State:
    """Nodes and the pods on them, the assumed ones included."""

    columns: NodeColumns
    terms: PodTerms
    ports: HostPorts = field(default_factory=HostPorts)
    _node_of: dict[str, str] = field(default_factory=dict)
    _pods_on: dict[str, dict[str, PodFacts]] = field(default_factory=dict)

    @classmethod
    def empty(cls, namespaces: Namespaces) -> "State":
        """A state without nodes. ``namespaces`` gives every namespace's labels."""
        columns = NodeColumns()
        return cls(columns, PodTerms(columns, namespaces))

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

    def displace(self, uid: str) -> None:
        """A pod is gone, has ended, or is not placed after all."""
        node = self._node_of.pop(uid, None)
        if node is None:
            return
        pods = self._pods_on[node]
        pod = pods.pop(uid)
        if not pods:
            del self._pods_on[node]
        slot = self.columns.slot(node)
        if slot is not None:
            self._count(pod, slot, -1)

    def node_of(self, uid: str) -> str | None:
        """Where a pod is taken to be."""
        return self._node_of.get(uid)

    def pods_on(self, node: str) -> list[PodFacts]:
        return list(self._pods_on.get(node, {}).values())

    def slots(self, mask: Mask) -> list[Slot]:
        return [Slot(int(i)) for i in np.flatnonzero(mask)]

    def _count(self, pod: PodFacts, slot: Slot, sign: int) -> None:
        self.columns.request(slot, pod.requests, sign)
        scoring = {SCORING[r]: value for r, value in pod.scoring_requests.items()}
        self.columns.request(slot, scoring, sign)
        if sign > 0:
            self.terms.add(pod, slot)
            self.ports.take(slot, pod.host_ports)
        else:
            self.terms.remove(pod)
            self.ports.give_back(slot, pod.host_ports)
