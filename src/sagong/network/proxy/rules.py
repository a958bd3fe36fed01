"""The nftables table of a node: the frame, and what each service port adds to it. Pure.

A packet is looked up once in a verdict map keyed by destination address, protocol and port (or
protocol and port alone for node ports). A plain service leads to ``spread-N``, one chain for all
services with N endpoints, which looks the endpoint up in one map by the same key and a random
number: such a service has elements and no chain of its own. Others (node ports, external addresses,
session affinity, very many endpoints) have chains. So the cost of a packet does not depend on how
many services there are, and hardly that of a change: the kernel names anonymous sets, and walks all
chains at each commit, in time that grows with how many there are. Layout and order of hooks follow
upstream's nftables mode of kube-proxy.

    filter-*-pre-dnat   loadBalancerSourceRanges, before the destination is rewritten
    nat-prerouting      services            service-ips, service-nodeports
    nat-output          services
    filter-*            no endpoints: refuse; a cluster address without such a port: refuse
    nat-postrouting     masquerading
"""

import base64
import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sagong.api.address_ranges import Network
from sagong.network.proxy.endpoints import Chosen, Endpoint
from sagong.network.proxy.services import ServicePort
from sagong.network.tables.family import IPV4, Family
from sagong.network.tables.fragment import ElementKey, Fragment, hook, merged

# The bit that asks for masquerading; the one that kube-proxy uses, so that whoever knows that
# (CNI plugins, firewalls) need not learn another.
MASQUERADE_MARK = "0x4000"
IDENTIFIER_CHARACTERS_MAX = 205  # the kernel takes 255; an endpoint adds up to 47

SPREAD_MAX = 64  # endpoints of a service without a chain of its own; more are rare


@dataclass(frozen=True, slots=True)
class Config:
    """What the rules depend on beside the services."""

    cluster_cidr: str  # of all pods of all nodes
    service_cidr: str
    bridge: str  # the device by which packets of this node's own pods come
    # Addresses of cluster IPs that this node itself answers while no endpoint is behind them.
    own_service_ips: frozenset[str] = frozenset()
    family: Family = IPV4
    # Where node ports are reached: addresses of the node in these; none: all of its addresses.
    node_port_ranges: tuple[str, ...] = ()
    node_ip: str = ""  # this node's own, "" while it is not known


def _maps(family: Family) -> Mapping[str, str]:
    key, word = f"{family.address_type} . inet_proto . inet_service", family.word
    return {
        "service-ips": f"type {key} : verdict;",
        "service-nodeports": "type inet_proto . inet_service : verdict;",
        "no-endpoint-services": f"type {key} : verdict;",
        "no-endpoint-nodeports": "type inet_proto . inet_service : verdict;",
        "firewall-ips": f"type {key} : verdict;",
        # Which number is drawn differs from chain to chain; only the type of the last component
        # counts.
        "endpoints": f"typeof {word} daddr . meta l4proto . th dport . numgen random mod 2"
        f" : {word} daddr . th dport;",
    }


def _sets(family: Family) -> Mapping[str, str]:
    type_ = family.address_type
    return {
        "cluster-ips": f"type {type_};",
        "node-ips": f"type {type_};",
        # Of load balancers; a node may hold some for others to find them.
        "balancer-ips": f"type {type_};",
        # An endpoint of this node that reaches itself through a service: its address, twice.
        "hairpins": f"type {type_} . {type_};",
    }


def _look_up(family: Family) -> str:
    return f"{family.word} daddr . meta l4proto . th dport vmap"


def _node_port_look_up(config: Config) -> str:
    # Loopback is excluded: the kernel drops what comes back from there unless route_localnet is
    # set, and IPv6 has no such switch.
    ip, loopback = config.family.word, config.family.loopback
    local = f"fib daddr type local {ip} daddr != {loopback}"
    if config.node_port_ranges:
        local += f" {ip} daddr {{ {', '.join(config.node_port_ranges)} }}"
    return f"{local} meta l4proto . th dport vmap"


def frame(config: Config) -> Fragment:
    """What is there without any service."""
    family, ip = config.family, config.family.word
    look_up, node_port = _look_up(family), _node_port_look_up(config)
    pre_dnat = ("ct state new jump firewall-check",)
    endpoints_check = "ct state new jump service-endpoints-check"
    cluster_ips_check = "ct state new jump cluster-ips-check"
    chains = {
        "filter-prerouting-pre-dnat": (hook("filter", "prerouting", -110), *pre_dnat),
        "filter-output-pre-dnat": (hook("filter", "output", -110), *pre_dnat),
        "filter-input": (
            hook("filter", "input", 0),
            "ct state new jump nodeport-endpoints-check",
            endpoints_check,
            # Other ports of a balancer's address are not the node's.
            f"ct state new {ip} daddr @balancer-ips {ip} daddr != @node-ips reject",
        ),
        "filter-forward": (hook("filter", "forward", 0), endpoints_check, cluster_ips_check),
        "filter-output": (hook("filter", "output", 0), endpoints_check, cluster_ips_check),
        "nat-prerouting": (hook("nat", "prerouting", -100), "jump services"),
        "nat-output": (hook("nat", "output", -100), "jump services"),
        "nat-postrouting": (hook("nat", "postrouting", 100), "jump masquerading"),
        "services": (
            f"{ip} daddr @cluster-ips {ip} saddr != {config.cluster_cidr} jump mark-for-masquerade",
            f"{look_up} @service-ips",
            f"{node_port} @service-nodeports",
        ),
        "service-endpoints-check": (f"{look_up} @no-endpoint-services",),
        "nodeport-endpoints-check": (f"{node_port} @no-endpoint-nodeports",),
        "firewall-check": (f"{look_up} @firewall-ips",),
        "reject-chain": ("reject",),
        "cluster-ips-check": (
            "fib daddr type local return",
            f"{ip} daddr @cluster-ips reject",
            f"{ip} daddr {config.service_cidr} drop",
        ),
        "mark-for-masquerade": (f"meta mark set meta mark or {MASQUERADE_MARK}",),
        "masquerading": (
            f"meta mark and {MASQUERADE_MARK} != 0 goto masquerade-marked",
            # An endpoint that reaches itself must not see its own address as source.
            f"{ip} saddr . {ip} daddr @hairpins masquerade fully-random",
            # Between pods and nodes no address is translated: Kubernetes' network model.
            f"{ip} daddr @node-ips return",
            f"{ip} saddr {config.cluster_cidr}"
            f" {ip} daddr != {{ {config.cluster_cidr}, {family.multicast} }}"
            " masquerade fully-random",
        ),
        "masquerade-marked": (
            # The mark is taken off, or a packet that is encapsulated would be masqueraded twice.
            f"meta mark set meta mark xor {MASQUERADE_MARK}",
            "masquerade fully-random",
        ),
    }
    for count in range(1, SPREAD_MAX + 1):
        chains[f"spread-{count}"] = (
            f"dnat {ip} addr . port to {ip} daddr . meta l4proto . th dport"
            f" . numgen random mod {count} map @endpoints",
        )
    return Fragment(chains, _sets(family), maps=_maps(family))


def plan_nodes(internal_ips: Iterable[str]) -> Fragment:
    """The addresses of nodes, which pods reach under their own addresses."""
    return Fragment(elements={("node-ips", ip): "" for ip in internal_ips})


def plan_port(port: ServicePort, chosen: Chosen, config: Config) -> Fragment:
    """Everything that one service port adds to the table."""
    elements: dict[ElementKey, str] = {("cluster-ips", port.cluster_ip): ""}
    elements |= {("balancer-ips", ip): "" for ip in port.load_balancer_ips}
    if not chosen.anywhere:
        elements.update(_refused(port, config, addresses=port.all_ips))
        return Fragment(elements=elements)
    elements |= {("hairpins", f"{ip} . {ip}"): "" for ip in chosen.hairpins}
    spread = chosen.local if port.internal_local else chosen.cluster
    if _is_plain(port) and 0 < len(spread) <= SPREAD_MAX:
        key = _tuple(port, port.cluster_ip)
        elements["service-ips", key] = f"goto spread-{len(spread)}"
        for index, endpoint in enumerate(spread):
            elements["endpoints", f"{key} . {index}"] = f"{endpoint.ip} . {endpoint.port}"
        return Fragment(elements=elements)
    own = _own_chains(port, chosen, config.family)
    internal = _chain("local" if port.internal_local else "service", port)
    if internal in own.chains:
        elements[_service_ip(port, port.cluster_ip)] = f"goto {internal}"
    else:
        elements["no-endpoint-services", _tuple(port, port.cluster_ip)] = "drop"
    external = _external(port, own.chains, config)
    return merged((Fragment(elements=elements), own, external))


def _is_plain(port: ServicePort) -> bool:
    """Reached at its cluster IP alone, every time by chance."""
    return not port.is_external and port.affinity_seconds is None


def _own_chains(port: ServicePort, chosen: Chosen, family: Family) -> Fragment:
    """Chains for a port that shares none: one a policy, with affinity one an endpoint."""
    chains: dict[str, tuple[str, ...]] = {}
    sets: dict[str, str] = {}
    if port.uses_cluster_endpoints and chosen.cluster:
        chains[_chain("service", port)] = _balanced(port, chosen.cluster, family)
    if port.uses_local_endpoints and chosen.local:
        chains[_chain("local", port)] = _balanced(port, chosen.local, family)
    if port.affinity_seconds is not None:
        for endpoint in chosen.all:
            chains[_endpoint_chain(port, endpoint)] = _sticky_endpoint(port, endpoint, family)
            sets[_affinity_set(port, endpoint)] = (
                f"type {family.address_type}; flags dynamic,timeout;"
                f" timeout {port.affinity_seconds}s;"
            )
    return Fragment(chains, sets)


def _external(port: ServicePort, chains: Mapping[str, tuple[str, ...]], config: Config) -> Fragment:
    """Node ports, external IPs and load balancer IPs of a port that has endpoints."""
    if not port.is_external:
        return Fragment()
    name = _chain("external", port)
    policy_chain = _chain("local" if port.external_local else "service", port)
    own: dict[str, tuple[str, ...]] = {name: _external_rules(port, policy_chain, chains, config)}
    elements: dict[ElementKey, str] = {}
    for ip in port.external_ips_all:
        elements[_service_ip(port, ip)] = f"goto {name}"
    if port.node_port:
        elements["service-nodeports", _node_port(port)] = f"goto {name}"
    if policy_chain not in chains:
        elements.update(_refused(port, config, addresses=port.external_ips_all, verdict="drop"))
    if port.source_ranges and port.load_balancer_ips:
        firewall = _chain("firewall", port)
        sources = ", ".join(_allowed_sources(port, config))
        own[firewall] = (f"{config.family.word} saddr != {{ {sources} }} drop",)
        for ip in port.load_balancer_ips:
            elements["firewall-ips", _tuple(port, ip)] = f"goto {firewall}"
    return Fragment(own, {}, elements)


def _allowed_sources(port: ServicePort, config: Config) -> tuple[str, ...]:
    """The ranges, and the balancer's own addresses if this node is in one of them: a node that has
    such an address itself takes it as the source of what it sends there."""
    networks = [ipaddress.ip_network(text, strict=False) for text in port.source_ranges]
    # Ranges that overlap are no set.
    allowed = [str(n) for n in ipaddress.collapse_addresses(networks)]  # type: ignore[type-var]
    if config.node_ip and _within(config.node_ip, networks):
        allowed += [ip for ip in port.load_balancer_ips if not _within(ip, networks)]
    return tuple(allowed)


def _within(ip: str, networks: Iterable[Network]) -> bool:
    address = ipaddress.ip_address(ip)
    return any(address in network for network in networks)


def _external_rules(
    port: ServicePort, policy_chain: str, chains: Mapping[str, tuple[str, ...]], config: Config
) -> tuple[str, ...]:
    if not port.external_local:
        return ("jump mark-for-masquerade", f"goto {policy_chain}")
    rules: list[str] = []
    from_pods = f"{config.family.word} saddr {config.cluster_cidr}"
    everywhere = _chain("service", port)
    if everywhere in chains:
        # Pods and the node itself are inside: they reach every endpoint whatever the policy.
        # The answer to another node's pod must come back by this node to be rewritten.
        rules += [
            f'{from_pods} iifname != "{config.bridge}" jump mark-for-masquerade',
            f"{from_pods} goto {everywhere}",
            "fib saddr type local jump mark-for-masquerade",
            f"fib saddr type local goto {everywhere}",
        ]
    if policy_chain in chains:
        rules.append(f"goto {policy_chain}")
    return tuple(rules)


def _balanced(
    port: ServicePort, endpoints: tuple[Endpoint, ...], family: Family
) -> tuple[str, ...]:
    if port.affinity_seconds is not None:
        return _sticky(port, endpoints, family)
    targets = ", ".join(f"{i} : {e.ip} . {e.port}" for i, e in enumerate(endpoints))
    return (
        f"meta l4proto {port.protocol} dnat {family.word} addr . port to"
        f" numgen random mod {len(endpoints)} map {{ {targets} }}",
    )


def _sticky(port: ServicePort, endpoints: tuple[Endpoint, ...], family: Family) -> tuple[str, ...]:
    """The endpoint that has the client in its set, or else one by chance."""
    targets = [_endpoint_chain(port, e) for e in endpoints]
    known = (
        f"{family.word} saddr @{_affinity_set(port, e)} goto {target}"
        for e, target in zip(endpoints, targets, strict=True)
    )
    choices = ", ".join(f"{i} : goto {target}" for i, target in enumerate(targets))
    return (*known, f"numgen random mod {len(targets)} vmap {{ {choices} }}")


def _sticky_endpoint(port: ServicePort, endpoint: Endpoint, family: Family) -> tuple[str, ...]:
    return (
        f"update @{_affinity_set(port, endpoint)} {{ {family.word} saddr }}",
        f"meta l4proto {port.protocol} dnat to {family.with_port(endpoint.ip, endpoint.port)}",
    )


def _refused(
    port: ServicePort,
    config: Config,
    *,
    addresses: Iterable[str],
    verdict: str = "goto reject-chain",
) -> dict[ElementKey, str]:
    elements = {
        ("no-endpoint-services", _tuple(port, ip)): verdict
        for ip in addresses
        if ip not in config.own_service_ips
    }
    if port.node_port:
        elements["no-endpoint-nodeports", _node_port(port)] = verdict
    return elements


def _service_ip(port: ServicePort, ip: str) -> ElementKey:
    return "service-ips", _tuple(port, ip)


def _tuple(port: ServicePort, ip: str) -> str:
    return f"{ip} . {port.protocol} . {port.port}"


def _node_port(port: ServicePort) -> str:
    return f"{port.protocol} . {port.node_port}"


def _chain(role: str, port: ServicePort) -> str:
    """``service-ABCDEFGH-default/web/tcp/http``: unique by its hash, readable by the rest."""
    service = f"{port.service.namespace}/{port.service.name}"
    label = f"{service}/{port.protocol}/{port.name or port.port}"
    identity = f"{service}/{port.protocol}/{port.name}/{port.port}"
    return f"{role}-{_digest(identity)}-{label}"[:IDENTIFIER_CHARACTERS_MAX]


def _endpoint_chain(port: ServicePort, endpoint: Endpoint) -> str:
    return _chain("endpoint", port) + _suffix(endpoint)


def _affinity_set(port: ServicePort, endpoint: Endpoint) -> str:
    # The time-out of a set cannot be changed, so that another time-out is another set.
    service = _chain(f"affinity-{port.affinity_seconds}", port)
    return service + _suffix(endpoint)


def _suffix(endpoint: Endpoint) -> str:
    ip = endpoint.ip.replace(":", ".")  # which no identifier of nft may have
    return f"__{ip}/{endpoint.port}"


def _digest(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest())[:8].decode()
