"""What policies, pods and namespaces say, as far as packets are concerned. Pure.

Source of semantics: ``networking/v1 NetworkPolicy``. A peer or port list that is absent or empty
means everyone and every port; a rule list that is absent or empty allows nothing; pods in their
node's own network are neither guarded nor selected; an ``ipBlock`` has no ports by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sagong.api.meta import key_of, labels_of, namespace_of
from sagong.api.pods import addresses_of, is_finished
from sagong.api.selectors import EVERYTHING, Selector, selector_from_object
from sagong.api.types import Key, Obj
from sagong.network.tables.family import IPV4, Family


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A pod that has an address of its own on the pod network, of the family in question."""

    key: Key
    ip: str
    node: str
    labels: Mapping[str, str]
    named_ports: tuple[tuple[str, str, int], ...]  # name, protocol in lower case, number


@dataclass(frozen=True, slots=True)
class Selection:
    """Pods by their labels and their namespace's; one port of each if it names one.

    ``namespace`` "" means all that ``namespaces`` selects.
    """

    namespace: str
    namespaces: Selector
    pods: Selector
    protocol: str = ""
    port_name: str = ""

    def addresses(self, pod: PodFacts, namespace_labels: Mapping[str, str]) -> tuple[str, ...]:
        """What a pod adds to the selection's set: its address, or address and port number."""
        if self.namespace and pod.key.namespace != self.namespace:
            return ()
        if not self.namespaces.matches(namespace_labels) or not self.pods.matches(pod.labels):
            return ()
        if not self.port_name:
            return (pod.ip,)
        wanted = (self.port_name, self.protocol)
        return tuple(
            f"{pod.ip} . {number}" for *named, number in pod.named_ports if tuple(named) == wanted
        )


@dataclass(frozen=True, slots=True)
class Block:
    """Addresses by range, less some."""

    cidr: str
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Port:
    """A protocol's ports: all (``first`` 0 and no name), a range, or one by name."""

    protocol: str  # in lower case
    first: int = 0
    last: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Peers and ports that may talk; None: everyone, or every port."""

    peers: tuple[Selection | Block, ...] | None
    ports: tuple[Port, ...] | None


@dataclass(frozen=True, slots=True)
class Policy:
    """None for a direction that the policy says nothing of."""

    key: Key
    pods: Selector
    ingress: tuple[Rule, ...] | None
    egress: tuple[Rule, ...] | None

    @property
    def own(self) -> Selection:
        """The pods that it guards."""
        return Selection(self.key.namespace, EVERYTHING, self.pods)


def pod_facts(pod: Obj, family: Family = IPV4) -> PodFacts | None:
    """None for a pod that policies are not about: without an address, finished, or the host's."""
    spec = pod["spec"]
    ip = next(family.addresses(addresses_of(pod)), None)
    if ip is None or spec.get("hostNetwork") or is_finished(pod):
        return None
    # Sidecars are init containers that go on; a port of one that ends is nobody's.
    sidecars = (c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")
    named = tuple(
        (port["name"], (port.get("protocol") or "TCP").lower(), int(port["containerPort"]))
        for container in (*spec.get("containers", ()), *sidecars)
        for port in container.get("ports") or ()
        if port.get("name")
    )
    return PodFacts(key_of(pod), ip, spec.get("nodeName") or "", labels_of(pod), named)


def policy_of(obj: Obj, family: Family = IPV4) -> Policy:
    """What a NetworkPolicy object says about packets of a family."""
    spec = obj.get("spec") or {}
    types = spec.get("policyTypes") or ("Ingress", *(("Egress",) if spec.get("egress") else ()))
    where = (namespace_of(obj), family)
    return Policy(
        key_of(obj),
        selector_from_object(spec.get("podSelector") or {}),
        _rules(spec.get("ingress"), "from", where) if "Ingress" in types else None,
        _rules(spec.get("egress"), "to", where) if "Egress" in types else None,
    )


_Where = tuple[str, Family]  # the policy's namespace, and the table that it is for


def _rules(rules: list[Obj] | None, peers_field: str, where: _Where) -> tuple[Rule, ...]:
    return tuple(
        Rule(_peers(rule.get(peers_field), where), _ports(rule.get("ports")))
        for rule in rules or ()
    )


def _peers(peers: list[Obj] | None, where: _Where) -> tuple[Selection | Block, ...] | None:
    if not peers:
        return None
    found = (_peer(peer, where) for peer in peers)
    return tuple(peer for peer in found if peer is not None)


def _peer(peer: Obj, where: _Where) -> Selection | Block | None:
    """None for a range of the other family."""
    namespace, family = where
    if (block := peer.get("ipBlock")) is not None:
        if not family.is_network(block["cidr"]):
            return None
        without = tuple(cidr for cidr in block.get("except") or () if family.is_network(cidr))
        return Block(block["cidr"], without)
    pods = selector_from_object(peer.get("podSelector") or {})
    if (namespaces := peer.get("namespaceSelector")) is not None:
        return Selection("", selector_from_object(namespaces), pods)
    return Selection(namespace, EVERYTHING, pods)


def _ports(ports: list[Obj] | None) -> tuple[Port, ...] | None:
    return tuple(map(_port, ports)) if ports else None


def _port(port: Obj) -> Port:
    protocol = (port.get("protocol") or "TCP").lower()
    wanted = port.get("port")
    if wanted is None:
        return Port(protocol)
    if isinstance(wanted, str):
        return Port(protocol, name=wanted)
    return Port(protocol, wanted, port.get("endPort") or wanted)
