"""Whatever the policies, the planned rules let through what the API's words say, and no more.

The kernel is stood for by an interpreter of the few statements that rules are made of, the words
by a direct reading of the objects.
"""

import ipaddress
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from sagong.api.types import Key
from sagong.network.policy.book import PolicyBook
from sagong.network.policy.model import pod_facts, policy_of
from sagong.network.policy.rules import frame, plan_policy
from sagong.network.tables.family import IPV6
from sagong.network.tables.ruleset import STALE_SECONDS, Ruleset

Obj = dict[str, Any]
NODE = "here"


def pod(namespace: str, name: str, ip: str, labels: Mapping[str, str], **spec: Any) -> Obj:
    ports = [
        {"name": "web", "containerPort": 8080},
        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
    ]
    return {
        "metadata": {"namespace": namespace, "name": name, "labels": dict(labels)},
        "spec": {"nodeName": NODE, "containers": [{"name": "c", "ports": ports}], **spec},
        "status": {"podIP": ip, "phase": "Running"},
    }


def policy(name: str, namespace: str = "one", **spec: Any) -> Obj:
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], **spec}
    return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}


@dataclass(frozen=True)
class Packet:
    source: str
    destination: str
    protocol: str
    port: int


class Kernel:
    """What the ruleset holds, run on a packet."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.chains = {**frame().chains, **ruleset.chains}
        self.elements = ruleset.elements

    def passes(self, packet: Packet) -> bool:
        return all(
            self._run(self.chains[base][1:], packet) != "drop" for base in ("egress", "ingress")
        )

    def _run(self, rules: tuple[str, ...], packet: Packet) -> str:
        for rule in rules:
            verdict = self._rule(rule.split(), packet)
            if verdict:
                return verdict
        return ""

    def _rule(self, words: list[str], packet: Packet) -> str:
        while words:
            match words:
                case ["ct", "state", *_] | ["update", *_]:
                    return ""
                case ["counter", "name", _, verdict]:
                    return verdict
                case ["accept"]:
                    return "accept"
                case ["jump" | "goto", chain]:
                    return self._run(self.chains[chain], packet)
                case ["ip", "saddr", ".", "ip", "daddr", name, *words]:
                    if (name[1:], f"{packet.source} . {packet.destination}") not in self.elements:
                        return ""
                case ["ip", "daddr", ".", protocol, "dport", name, *words]:
                    key = f"{packet.destination} . {packet.port}"
                    if protocol != packet.protocol or (name[1:], key) not in self.elements:
                        return ""
                case ["ip", side, "vmap", name]:
                    found = self.elements.get((name[1:], self._side(side, packet)), "")
                    return self._rule(found.split(), packet)
                case ["ip", side, "!=", "{", *rest]:
                    end = rest.index("}")
                    blocks, words = [b.strip(",") for b in rest[:end]], rest[end + 1 :]
                    if any(inside(self._side(side, packet), block) for block in blocks):
                        return ""
                case ["ip", side, "!=", block, *words]:
                    if inside(self._side(side, packet), block):
                        return ""
                case ["ip", side, what, *words]:
                    address = self._side(side, packet)
                    is_set = what.startswith("@")
                    if not (
                        (what[1:], address) in self.elements if is_set else inside(address, what)
                    ):
                        return ""
                case ["meta", "l4proto", protocol, *words]:
                    if protocol != packet.protocol:
                        return ""
                case [protocol, "dport", span, *words]:
                    first, _, last = span.partition("-")
                    numbers = range(int(first), int(last or first) + 1)
                    if protocol != packet.protocol or packet.port not in numbers:
                        return ""
                case _:
                    raise AssertionError(words)
        return ""

    def _side(self, side: str, packet: Packet) -> str:
        return packet.source if side == "saddr" else packet.destination


def inside(address: str, block: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(block)


# The words, read directly.


def allowed(world: "World", packet: Packet) -> bool:
    if packet.source == packet.destination:
        return True
    return _allows(world, packet, "Ingress", packet.destination, packet.source) and _allows(
        world, packet, "Egress", packet.source, packet.destination
    )


def _allows(world: "World", packet: Packet, direction: str, own: str, peer: str) -> bool:
    subject = world.by_ip(own)
    if subject is None:
        return True
    speaking = [
        p["spec"]
        for p in world.policies.values()
        if p["metadata"]["namespace"] == subject["metadata"]["namespace"]
        and direction in p["spec"]["policyTypes"]
        and fits(p["spec"]["podSelector"], subject["metadata"]["labels"])
    ]
    rules_field, peers_field = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return not speaking or any(
        _peer_fits(world, rule.get(peers_field), subject["metadata"]["namespace"], peer)
        and _port_fits(
            world,
            rule.get("ports"),
            packet,
            peer_block_only(rule, peers_field, world, subject, peer),
        )
        for spec in speaking
        for rule in spec.get(rules_field) or ()
    )


def peer_block_only(rule: Obj, field: str, world: "World", subject: Obj, peer: str) -> bool:
    """A port by name means a pod's: not for an address that only a range names, on the way out."""
    if field == "from" or not rule.get(field):
        return False
    selectors = [p for p in rule[field] if "ipBlock" not in p]
    return not selectors or not _peer_fits(world, selectors, subject["metadata"]["namespace"], peer)


def _peer_fits(world: "World", peers: list[Obj] | None, namespace: str, ip: str) -> bool:
    if not peers:
        return True
    pod = world.by_ip(ip)
    for peer in peers:
        if block := peer.get("ipBlock"):
            if inside(ip, block["cidr"]) and not any(
                inside(ip, b) for b in block.get("except", ())
            ):
                return True
            continue
        if pod is None:
            continue
        own = pod["metadata"]["namespace"]
        by_namespace = (
            fits(peer["namespaceSelector"], world.namespaces[own])
            if "namespaceSelector" in peer
            else own == namespace
        )
        if by_namespace and fits(peer.get("podSelector", {}), pod["metadata"]["labels"]):
            return True
    return False


def _port_fits(world: "World", ports: list[Obj] | None, packet: Packet, unnamed: bool) -> bool:
    if not ports:
        return True
    for port in ports:
        if port.get("protocol", "TCP").lower() != packet.protocol:
            continue
        wanted = port.get("port")
        if wanted is None:
            return True
        if isinstance(wanted, str):
            pod = world.by_ip(packet.destination)
            named = pod["spec"]["containers"][0]["ports"] if pod and not unnamed else ()
            if any(
                p["name"] == wanted
                and p["containerPort"] == packet.port
                and p.get("protocol", "TCP").lower() == packet.protocol
                for p in named
            ):
                return True
        elif wanted <= packet.port <= port.get("endPort", wanted):
            return True
    return False


def fits(selector: Obj, labels: Mapping[str, str]) -> bool:
    return all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items())


class World:
    """Objects, told to a book as they change."""

    def __init__(self) -> None:
        self.ruleset = Ruleset("t", frame())
        self.book = PolicyBook(NODE, self.ruleset)
        self.pods: dict[Key, Obj] = {}
        self.policies: dict[Key, Obj] = {}
        self.namespaces: dict[str, dict[str, str]] = {}

    def by_ip(self, ip: str) -> Obj | None:
        return next((p for p in self.pods.values() if p["status"]["podIP"] == ip), None)

    def put_pod(self, key: Key, obj: Obj | None) -> None:
        self.pods.pop(key, None)
        if obj is not None:
            self.pods[key] = obj
        self.book.put_pod(key, pod_facts(obj) if obj else None)

    def put_policy(self, key: Key, obj: Obj | None) -> None:
        self.policies.pop(key, None)
        if obj is not None:
            self.policies[key] = obj
        self.book.put_policy(key, policy_of(obj) if obj else None)

    def put_namespace(self, name: str, labels: dict[str, str]) -> None:
        self.namespaces[name] = labels
        self.book.put_namespace(name, labels)


NAMESPACES, LABELS = ("one", "two"), ({}, {"app": "a"}, {"app": "b"})


def random_policy(dice: random.Random, namespace: str, name: str) -> Obj:
    def selector() -> Obj:
        return dice.choice([{}, {"matchLabels": {"app": "a"}}, {"matchLabels": {"app": "b"}}])

    def peer() -> Obj:
        return dice.choice(
            [
                {"podSelector": selector()},
                {"namespaceSelector": dice.choice([{}, {"matchLabels": {"team": "x"}}])},
                {"namespaceSelector": {"matchLabels": {"team": "x"}}, "podSelector": selector()},
                {"ipBlock": {"cidr": "10.0.0.0/29", "except": ["10.0.0.2/32"]}},
                {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/30", "192.0.2.0/24"]}},
            ]
        )

    def port() -> Obj:
        return dice.choice(
            [
                {"port": 8080},
                {"port": 50, "endPort": 60, "protocol": "UDP"},
                {"port": "web"},
                {"port": "dns", "protocol": "UDP"},
                {"protocol": "UDP"},
            ]
        )

    def rules(field: str) -> list[Obj]:
        found = []
        for _ in range(dice.randrange(3)):
            rule: Obj = {}
            if dice.random() < 0.7:
                rule[field] = [peer() for _ in range(dice.randrange(1, 3))]
            if dice.random() < 0.6:
                rule["ports"] = [port() for _ in range(dice.randrange(1, 3))]
            found.append(rule)
        return found

    types = dice.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
    return policy(
        name, namespace, podSelector=selector(), policyTypes=types,
        ingress=rules("from"), egress=rules("to"),
    )  # fmt: skip


def change(world: World, dice: random.Random) -> None:
    namespace = dice.choice(NAMESPACES)
    match dice.randrange(4):
        case 0:
            world.put_namespace(namespace, dice.choice([{}, {"team": "x"}]))
        case 1:
            index = dice.randrange(4)
            key = Key(namespace, f"p{index}")
            ip = f"10.0.0.{index + 1 + 4 * NAMESPACES.index(namespace)}"
            gone = dice.random() < 0.2
            world.put_pod(key, None if gone else pod(*key_parts(key), ip, dice.choice(LABELS)))
        case _:
            key = Key(namespace, f"n{dice.randrange(3)}")
            gone = dice.random() < 0.3
            world.put_policy(key, None if gone else random_policy(dice, *key_parts(key)))


def key_parts(key: Key) -> tuple[str, str]:
    return key.namespace, key.name


ADDRESSES = [*(f"10.0.0.{i}" for i in range(1, 9)), "192.0.2.7", "198.51.100.7"]
PORTS = [("tcp", 8080), ("tcp", 81), ("udp", 53), ("udp", 60), ("udp", 61)]


@pytest.mark.parametrize("seed", range(25))
def test_rules_mean_what_the_policies_say_after_any_changes(seed: int) -> None:
    dice, world = random.Random(seed), World()
    for name in NAMESPACES:
        world.put_namespace(name, {"team": "x"} if name == "two" else {})
    for _ in range(12):
        for _ in range(3):
            change(world, dice)
        kernel = Kernel(world.ruleset)
        for source in ADDRESSES:
            for destination in ADDRESSES:
                for protocol, port in PORTS:
                    packet = Packet(source, destination, protocol, port)
                    if source != destination:
                        assert kernel.passes(packet) == allowed(world, packet), packet


def test_nothing_is_left_when_all_is_gone() -> None:
    dice, world = random.Random(7), World()
    for _ in range(60):
        change(world, dice)
    for key in tuple(world.pods):
        world.put_pod(key, None)
    for key in tuple(world.policies):
        world.put_policy(key, None)
    assert not world.book.has_policies
    assert not world.ruleset.chains
    assert not world.ruleset.elements
    assert not list(world.ruleset.owners)


def test_a_pod_that_comes_costs_elements_alone() -> None:
    world = World()
    world.put_namespace("one", {})
    world.put_policy(Key("one", "deny"), policy("deny", ingress=[{"from": [{"podSelector": {}}]}]))
    for index in range(3):
        world.put_pod(Key("one", f"p{index}"), pod("one", f"p{index}", f"10.0.0.{index}", {}))
    first = world.ruleset.plan(0.0)
    assert first is not None
    world.ruleset.done(first, 0.0)
    world.put_pod(Key("one", "new"), pod("one", "new", "10.0.0.9", {}))
    then = world.ruleset.plan(STALE_SECONDS * 2)
    assert then is not None
    lines = then.text.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("add element") and "10.0.0.9" in line for line in lines)


@pytest.mark.parametrize(
    "unlike",
    [
        {"spec": {"hostNetwork": True}},
        {"status": {"podIP": "10.0.0.1", "phase": "Succeeded"}},
        {"status": {"podIP": ""}},
        {"status": {}},
        {"status": {"podIP": "fd00::1"}},
    ],
    ids=str,
)
def test_which_pods_policies_are_not_about(unlike: Obj) -> None:
    made = pod("one", "p", "10.0.0.1", {})
    made["spec"] |= unlike.get("spec", {})
    made["status"] = unlike.get("status", made["status"])
    assert pod_facts(made) is None


@pytest.mark.parametrize(
    ("spec", "ingress", "egress"),
    [
        ({}, True, False),
        ({"egress": [{}]}, True, True),
        ({"policyTypes": ["Egress"]}, False, True),
        ({"policyTypes": ["Egress", "Ingress"]}, True, True),
    ],
    ids=str,
)
def test_which_directions_a_policy_speaks_of(spec: Obj, ingress: bool, egress: bool) -> None:
    made = policy_of(
        {"metadata": {"namespace": "one", "name": "p"}, "spec": {"podSelector": {}, **spec}}
    )
    assert (made.ingress is not None, made.egress is not None) == (ingress, egress)


def test_a_range_of_the_other_family_allows_nobody() -> None:
    world = World()
    world.put_namespace("one", {})
    world.put_pod(Key("one", "p"), pod("one", "p", "10.0.0.1", {}))
    rule = {"from": [{"ipBlock": {"cidr": "2001:db8::/32"}}]}
    world.put_policy(Key("one", "n"), policy("n", ingress=[rule]))
    assert not Kernel(world.ruleset).passes(Packet("10.0.0.2", "10.0.0.1", "tcp", 80))


def test_a_policy_of_ipv6_names_addresses_of_ipv6_alone() -> None:
    blocks = ({"ipBlock": {"cidr": cidr}} for cidr in ("192.0.2.0/24", "2001:db8::/32"))
    obj = policy("p", ingress=[{"from": list(blocks)}])
    (rules,) = plan_policy(policy_of(obj, IPV6), IPV6).chains.values()
    assert rules == ("ip6 saddr 2001:db8::/32 accept",)
    both = pod("one", "a", "10.244.0.2", {})
    both["status"]["podIPs"] = [{"ip": "10.244.0.2"}, {"ip": "fd00::2"}]
    facts = pod_facts(both, IPV6)
    assert facts is not None
    assert facts.ip == "fd00::2"
    assert pod_facts(pod("one", "a", "10.244.0.2", {}), IPV6) is None
