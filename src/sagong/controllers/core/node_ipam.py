"""Give each node a range of pod addresses out of the cluster's, of each family one.

Reads: Node.  Writes: Node.spec.podCIDR, podCIDRs.
Invariant: no two nodes have overlapping ranges; a range is free again when its node is gone.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sagong.api.address_ranges import NODE_PREFIX_IPV6, Network, NodeRange, node_ranges
from sagong.api.meta import is_deleting, name_of
from sagong.api.types import Key, Obj
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, after

CONTROLLER = Controller(name="node-ipam", reconciles="nodes", workers=1)
FULL_SECONDS = 30.0  # how soon to look again whether a node has left its range


@dataclass(frozen=True, slots=True)
class Seen:
    needs_range: bool
    taken: frozenset[str]  # ranges of all nodes
    node_names: frozenset[str]


def observe(key: Key, cache: Cache) -> Seen | None:
    node = cache.get("nodes", "", key.name)
    if node is None:
        return None
    if node["spec"].get("podCIDR") or is_deleting(node):
        # Most events: nodes report often, and reading all ranges each time would add up.
        return Seen(False, frozenset(), frozenset())
    nodes: list[Obj] = list(cache.list("nodes"))
    return Seen(
        needs_range=True,
        taken=frozenset(cidr for n in nodes for cidr in _ranges(n)),
        node_names=frozenset(name_of(n) for n in nodes),
    )


def _ranges(node: Obj) -> list[str]:
    spec = node["spec"]
    return spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])


def plan(cluster: Network, prefix: int, taken: Iterable[str]) -> str | None:
    """The first free range of the prefix length, or None if there is none left."""
    suffix = f"/{prefix}"
    used = set(taken)
    # Ranges of another size overlap without being equal; there are few, if any.
    others = [
        other
        for cidr in used
        if not cidr.endswith(suffix)
        and (other := ipaddress.ip_network(cidr)).version == cluster.version
    ]
    for candidate in cluster.subnets(new_prefix=prefix):
        if str(candidate) not in used and not any(candidate.overlaps(other) for other in others):
            return str(candidate)
    return None


def plan_all(ranges: Sequence[NodeRange], taken: Iterable[str]) -> Sequence[str] | None:
    """A free range of each of the cluster's, in their order, or None if one has none left."""
    used = frozenset(taken)
    chosen = [plan(each.cluster, each.prefix, used) for each in ranges]
    return [cidr for cidr in chosen if cidr is not None] if all(chosen) else None


def reconciler(
    cluster_cidr: str, node_prefix: int = 24, node_prefix_ipv6: int = NODE_PREFIX_IPV6
) -> Reconcile:
    """Reconcile with the cluster's range, e.g. 10.244.0.0/16 (two: see node_ranges), and the size
    of a node's. Raises ValueError."""
    ranges = node_ranges(cluster_cidr, node_prefix, node_prefix_ipv6)
    # Ranges written but perhaps not yet seen in the cache, by node. Only this process's single
    # worker allocates, so cache and this together are all there is.
    given: dict[str, Sequence[str]] = {}
    # What was taken when nothing was free: looking for it again is of use only once that differs.
    full: frozenset[str] | None = None

    async def reconcile(key: Key, env: Env) -> Result:
        nonlocal full
        seen = observe(key, env.cache)
        if seen is None:
            given.pop(key.name, None)
            return DONE
        if not seen.needs_range:
            return DONE
        pending = {
            cidr
            for name, cidrs in given.items()
            if name in seen.node_names and name != key.name
            for cidr in cidrs
        }
        taken = seen.taken | pending
        chosen = given.get(key.name)
        if chosen is None and taken != full:
            chosen = plan_all(ranges, taken)
            full = taken if chosen is None else None
        node = env.cache.get("nodes", "", key.name)
        if chosen is None:
            if node is not None:
                env.events.emit(
                    node,
                    "Normal",
                    "CIDRNotAvailable",
                    f"Node {key.name} status is now: CIDRNotAvailable",
                )
            return after(FULL_SECONDS)
        given[key.name] = chosen
        patch = {"spec": {"podCIDR": chosen[0], "podCIDRs": list(chosen)}}
        await env.client.patch("nodes", key.name, patch)
        return DONE

    return reconcile
