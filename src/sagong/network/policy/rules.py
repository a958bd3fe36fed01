"""The nftables table of policies: the frame, and what each policy and each guarded pod adds. Pure.

    egress   (forward)   source address -> chain of the pod's policies -> accept, or drop
    ingress  (forward)   destination address -> the same

Two base chains, so that "accept" of one leaves the other to decide. A packet is looked up by its
address once a direction; policies that guard the same pods share a chain (a group). What a selector
means is a set of addresses that changes without the rules. Established connections pass, whatever
changed since; a node's own packets to its pods (probes, the API's proxy) are not forwarded and so
pass, as do packets of pods to their node: its cluster DNS too.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from sagong.api.selectors import EVERYTHING
from sagong.api.types import Key
from sagong.network.policy.model import Block, Policy, Port, Rule, Selection
from sagong.network.tables.family import IPV4, IPV6, Family
from sagong.network.tables.fragment import Fragment, hook

INGRESS, EGRESS = "ingress", "egress"
PODS = {INGRESS: "ingress-pods", EGRESS: "egress-pods"}
LOOPBACKS = "loopbacks"
DROPPED_FLOWS = "dropped-flows"
_LABEL_CHARACTERS_MAX = 200
# Pods on a bridge find each other's hardware addresses by these, which IPv4 does beneath IP.
_NEIGHBOURS = (
    "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert }"
    " accept"
)
_ALL_PODS = Selection("", EVERYTHING, EVERYTHING)


def frame(family: Family = IPV4) -> Fragment:
    """What is there without any policy."""
    ip, type_ = family.word, family.address_type
    known = (
        *((_NEIGHBOURS,) if family is IPV6 else ()),
        "ct state established,related accept",
        # A pod that reaches itself by a service is not kept from it.
        f"{ip} saddr . {ip} daddr @{LOOPBACKS} accept",
    )
    flow = f"{ip} saddr . {ip} daddr . meta l4proto . th dport"
    chains: dict[str, tuple[str, ...]] = {
        # Before the service proxy's checks of the same hook, so that what is dropped here counts.
        EGRESS: (hook("filter", "forward", -10), *known, f"{ip} saddr vmap @{PODS[EGRESS]}"),
        INGRESS: (hook("filter", "forward", -9), *known, f"{ip} daddr vmap @{PODS[INGRESS]}"),
    }
    for direction in (INGRESS, EGRESS):
        chains[_dropped(direction)] = (
            # A full set ends a rule, so that the verdict is a rule of its own.
            f"update @{DROPPED_FLOWS} {{ {flow} counter }}",
            f"counter name {_dropped(direction)} drop",
        )
    sets = {
        LOOPBACKS: f"type {type_} . {type_};",
        # For people who ask why: nft list set ip sagong-policy dropped-flows (ip6: of IPv6)
        DROPPED_FLOWS: f"type {type_} . {type_} . inet_proto . inet_service;"
        " size 4096; flags dynamic,timeout; timeout 10m;",
    }
    maps = dict.fromkeys(PODS.values(), f"type {type_} : verdict;")
    return Fragment(chains, sets, maps=maps, counters=(_dropped(INGRESS), _dropped(EGRESS)))


def plan_policy(policy: Policy, family: Family = IPV4) -> Fragment:
    """The policy's chain of each direction that it speaks of."""
    chains: dict[str, tuple[str, ...]] = {}
    for direction, rules in ((INGRESS, policy.ingress), (EGRESS, policy.egress)):
        if rules is not None:
            texts = (
                text for rule in rules for text in _allowed(rule, direction, policy, family.word)
            )
            chains[_policy_chain(direction, policy.key)] = tuple(dict.fromkeys(texts))
    return Fragment(chains)


def plan_group(direction: str, policies: Iterable[Key]) -> Fragment:
    """The chain of pods that exactly these policies guard in a direction."""
    keys = sorted(policies, key=str)
    jumps = (f"jump {_policy_chain(direction, key)}" for key in keys)
    return Fragment({group_chain(direction, keys): (*jumps, f"goto {_dropped(direction)}")})


def plan_selection(selection: Selection, family: Family = IPV4) -> Fragment:
    """The set of a selection; its elements are the pods'."""
    type_ = family.address_type + (" . inet_service" if selection.port_name else "")
    return Fragment(sets={set_name(selection): f"type {type_};"})


def selections_of(policy: Policy) -> Iterator[Selection]:
    """Every selection that the policy's rules name."""
    for direction, rules in ((INGRESS, policy.ingress), (EGRESS, policy.egress)):
        for rule in rules or ():
            named = [port for port in rule.ports or () if port.name]
            if direction == INGRESS:
                yield from (_at_port(policy.own, port) for port in named)
            else:
                for peer in (_ALL_PODS,) if rule.peers is None else rule.peers:
                    if isinstance(peer, Selection):
                        yield from (_at_port(peer, port) for port in named)
            yield from (peer for peer in rule.peers or () if isinstance(peer, Selection))


def group_chain(direction: str, policies: Iterable[Key]) -> str:
    keys = sorted(policies, key=str)
    label = f"{keys[0].namespace}/{'_'.join(key.name for key in keys)}"
    return _named(f"{direction}-of", "\n".join(map(str, keys)), label)


def set_name(selection: Selection) -> str:
    where = selection.namespace or f"({selection.namespaces})"
    identity = f"{where}\n{selection.pods}\n{selection.protocol}\n{selection.port_name}"
    return f"pods-{_digest(identity)}"


def _policy_chain(direction: str, key: Key) -> str:
    return _named(f"{direction}-by", str(key), str(key))


def _dropped(direction: str) -> str:
    return f"dropped-{direction}"


def _allowed(rule: Rule, direction: str, policy: Policy, ip: str) -> Iterator[str]:
    """Rules that accept what a rule allows, one for each pair of a peer and a kind of port.

    ``ip`` is the word for the family.
    """
    by_number = [] if rule.ports is None else [port for port in rule.ports if not port.name]
    numbers = [""] if rule.ports is None else list(_numbers(by_number))
    named = [port for port in rule.ports or () if port.name]
    for peer in _matches(rule, direction, ip):
        yield from (f"{peer}{number}accept" for number in numbers)
    if direction == INGRESS:
        own = [_reached(_at_port(policy.own, port), ip) for port in named]
        for peer in _matches(rule, direction, ip) if own else ():
            yield from (f"{peer}{number}accept" for number in own)
        return
    for selection in (_ALL_PODS,) if rule.peers is None else rule.peers:
        if isinstance(selection, Selection):
            yield from (f"{_reached(_at_port(selection, port), ip)}accept" for port in named)


def _matches(rule: Rule, direction: str, ip: str) -> Iterator[str]:
    side = "saddr" if direction == INGRESS else "daddr"
    if rule.peers is None:
        yield ""
        return
    for peer in rule.peers:
        if isinstance(peer, Block):
            but = f"{ip} {side} != {_one_or_set(peer.without)} " if peer.without else ""
            yield f"{ip} {side} {peer.cidr} {but}"
        else:
            yield f"{ip} {side} @{set_name(peer)} "


def _numbers(ports: Iterable[Port]) -> Iterator[str]:
    """One text a protocol: all of its ports, or some."""
    by_protocol: dict[str, list[str] | None] = {}
    for port in ports:
        known = by_protocol.setdefault(port.protocol, [])
        if not port.first:
            by_protocol[port.protocol] = None
        elif known is not None:
            span = str(port.first) if port.first == port.last else f"{port.first}-{port.last}"
            known.append(span)
    for protocol, spans in by_protocol.items():
        if spans is None:
            yield f"meta l4proto {protocol} "
        else:
            # Ranges that overlap are no set: each is a rule.
            yield from (f"{protocol} dport {span} " for span in dict.fromkeys(spans))


def _reached(selection: Selection, ip: str) -> str:
    """A destination at the port that a selection names."""
    return f"{ip} daddr . {selection.protocol} dport @{set_name(selection)} "


def _at_port(selection: Selection, port: Port) -> Selection:
    return replace(selection, protocol=port.protocol, port_name=port.name)


def _one_or_set(values: tuple[str, ...]) -> str:
    return values[0] if len(values) == 1 else f"{{ {', '.join(values)} }}"


def _named(role: str, identity: str, label: str) -> str:
    """Unique by its hash, readable by the rest."""
    return f"{role}-{_digest(identity)}-{label}"[:_LABEL_CHARACTERS_MAX].rstrip("_")


def _digest(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest())[:12].decode()
