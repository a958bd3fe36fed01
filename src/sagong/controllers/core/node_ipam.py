"""Give each node a range of pod addresses out of the cluster's.

Reads: Node.  Writes: Node.spec.podCIDR, podCIDRs.
Invariant: no two nodes have overlapping ranges; a range is free again when its node is gone.
"""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sagong.api.meta import is_deleting
from sagong.api.types import Key, Obj
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, Watch, after

FULL_SECONDS = 30.0  # how soon to look again whether a node has left its range
# The index of nodes by their ranges, by the lengths of their prefixes, and by having any.
_RANGES, _ANY = "pod-range", "any"


def _ranges(node: Obj) -> list[str]:
    spec = node["spec"]
    return spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])


def _indexed(node: Obj) -> list[str]:
    ranges = _ranges(node)
    lengths = {_length(cidr) for cidr in ranges}
    return [*ranges, *lengths, _ANY] if ranges else []


def _length(cidr: str) -> str:
    return cidr[cidr.find("/") :]


CONTROLLER = Controller(
    name="node-ipam",
    reconciles="nodes",
    watches=(Watch("nodes", indexes={_RANGES: _indexed}),),
    workers=1,
)


@dataclass(frozen=True, slots=True)
class Pool:
    """The cluster's range, cut into ranges of one size."""

    cluster: ipaddress.IPv4Network
    prefix: int  # length of a node's

    def __len__(self) -> int:
        return 1 << (self.prefix - self.cluster.prefixlen)

    def at(self, number: int) -> str:
        first = int(self.cluster.network_address) + (number << (32 - self.prefix))
        return f"{ipaddress.IPv4Address(first)}/{self.prefix}"


def observe(key: Key, cache: Cache) -> bool | None:
    """Whether the node needs a range; None if it is gone."""
    node = cache.get("nodes", "", key.name)
    if node is None:
        return None
    return not (node["spec"].get("podCIDR") or is_deleting(node))


def plan(
    pool: Pool, begin: int, is_taken: Callable[[str], bool], others: Iterable[str] = ()
) -> int | None:
    """The number of the first free range from ``begin`` on, and round; None if there is none.

    A range that was given back is the last to be given again, as upstream has it: who still has it
    somewhere gets time to forget it. ``others`` are taken ranges of another size.
    """
    overlapped = [ipaddress.IPv4Network(cidr) for cidr in others if ":" not in cidr]
    for step in range(len(pool)):
        number = (begin + step) % len(pool)
        cidr = pool.at(number)
        if is_taken(cidr):
            continue
        if overlapped and any(ipaddress.IPv4Network(cidr).overlaps(o) for o in overlapped):
            continue
        return number
    return None


def _others(cache: Cache, prefix: int) -> list[str]:
    """Ranges of another size, which overlap without being equal. There are few, if any."""
    ours = f"/{prefix}"
    if cache.count("nodes", _RANGES, _ANY) == cache.count("nodes", _RANGES, ours):
        return []
    return [c for n in cache.list("nodes") for c in _ranges(n) if _length(c) != ours]


def reconciler(cluster_cidr: str, node_prefix: int = 24) -> Reconcile:
    """Reconcile with the cluster's range, e.g. 10.244.0.0/16, and the size of a node's."""
    pool = Pool(ipaddress.IPv4Network(cluster_cidr), node_prefix)
    # Ranges written but perhaps not yet seen in the cache, by node. Only this process's single
    # worker allocates, so cache and this together are all there is.
    given: dict[str, str] = {}
    following = 0

    async def reconcile(key: Key, env: Env) -> Result:
        nonlocal following
        cache = env.cache
        needs_range = observe(key, cache)
        if not needs_range:
            given.pop(key.name, None)
            return DONE
        if key.name not in given:
            unseen = set(given.values())
            number = plan(
                pool,
                following,
                lambda cidr: cidr in unseen or cache.count("nodes", _RANGES, cidr) > 0,
                _others(cache, node_prefix),
            )
            if number is None:
                _tell_full(key, env)
                return after(FULL_SECONDS)
            given[key.name] = pool.at(number)
            following = (number + 1) % len(pool)
        chosen = given[key.name]
        patch = {"spec": {"podCIDR": chosen, "podCIDRs": [chosen]}}
        await env.client.patch("nodes", key.name, patch)
        return DONE

    return reconcile


def _tell_full(key: Key, env: Env) -> None:
    node = env.cache.get("nodes", "", key.name)
    if node is not None:
        message = f"Node {key.name} status is now: CIDRNotAvailable"
        env.events.emit(node, "Normal", "CIDRNotAvailable", message)
