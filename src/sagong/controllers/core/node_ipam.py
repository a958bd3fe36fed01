"""Give each node a range of pod addresses out of the cluster's.

Reads: Node.  Writes: Node.spec.podCIDR, podCIDRs.
Invariant: no two nodes have overlapping ranges; a range is free again when its node is gone.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

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


def plan(cluster: ipaddress.IPv4Network, prefix: int, taken: Iterable[str]) -> str | None:
    """The first free range of the prefix length, or None if there is none left."""
    suffix = f"/{prefix}"
    used = set(taken)
    # Ranges of another size overlap without being equal; there are few, if any.
    others = [
        ipaddress.IPv4Network(cidr)
        for cidr in used
        if ":" not in cidr and not cidr.endswith(suffix)
    ]
    for candidate in cluster.subnets(new_prefix=prefix):
        if str(candidate) not in used and not any(candidate.overlaps(other) for other in others):
            return str(candidate)
    return None


def reconciler(cluster_cidr: str, node_prefix: int = 24) -> Reconcile:
    """Reconcile with the cluster's range, e.g. 10.244.0.0/16, and the size of a node's."""
    cluster = ipaddress.IPv4Network(cluster_cidr)
    # Ranges written but perhaps not yet seen in the cache, by node. Only this process's single
    # worker allocates, so cache and this together are all there is.
    given: dict[str, str] = {}

    async def reconcile(key: Key, env: Env) -> Result:
        seen = observe(key, env.cache)
        if seen is None:
            given.pop(key.name, None)
            return DONE
        if not seen.needs_range:
            return DONE
        pending = {n: cidr for n, cidr in given.items() if n in seen.node_names and n != key.name}
        chosen = given.get(key.name) or plan(cluster, node_prefix, seen.taken | {*pending.values()})
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
        patch = {"spec": {"podCIDR": chosen, "podCIDRs": [chosen]}}
        await env.client.patch("nodes", key.name, patch)
        return DONE

    return reconcile
