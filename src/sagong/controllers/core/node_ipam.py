"""Give each node ranges of pod addresses out of the cluster's.

Reads: Node.  Writes: Node.spec.podCIDR, podCIDRs.
Invariant: no two nodes have overlapping ranges; a range is free again when its node is gone.
"""

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sagong.api.address_ranges import NODE_PREFIX_IPV6, NodeRange, node_ranges
from sagong.api.meta import is_deleting
from sagong.api.types import Key, Obj
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, Watch, after

FULL_SECONDS = 30.0  # how soon to look again whether a node has left its range
_RANGES = "pod-range"  # the index of nodes by their ranges, and by these' families and sizes


def _ranges(node: Obj) -> list[str]:
    spec = node["spec"]
    return spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])


def _indexed(node: Obj) -> list[str]:
    ranges = _ranges(node)
    kinds = {kind for cidr in ranges for kind in (_family(cidr), _family(cidr) + _size(cidr))}
    return [*ranges, *kinds]


def _family(cidr: str) -> str:
    return "6" if ":" in cidr else "4"


def _size(cidr: str) -> str:
    return cidr[cidr.find("/") :]


CONTROLLER = Controller(
    name="node-ipam",
    reconciles="nodes",
    watches=(Watch("nodes", indexes={_RANGES: _indexed}),),
    workers=1,
)


@dataclass(slots=True)
class Pool:
    """One of the cluster's ranges, cut into ranges of one size."""

    of: NodeRange
    begin: int = 0  # the number of the range that is looked at first

    def __len__(self) -> int:
        return 1 << (self.of.prefix - self.of.cluster.prefixlen)

    def at(self, number: int) -> str:
        network = self.of.cluster.network_address
        return f"{network + (number << (network.max_prefixlen - self.of.prefix))}/{self.of.prefix}"

    def others(self, cache: Cache) -> list[str]:
        """Ranges of another size, which overlap without being equal. There are few, if any."""
        family, size = str(self.of.cluster.version), f"/{self.of.prefix}"
        if cache.count("nodes", _RANGES, family) == cache.count("nodes", _RANGES, family + size):
            return []
        found = (cidr for node in cache.list("nodes") for cidr in _ranges(node))
        return [cidr for cidr in found if _family(cidr) == family and _size(cidr) != size]


def observe(key: Key, cache: Cache) -> bool | None:
    """Whether the node needs a range; None if it is gone."""
    node = cache.get("nodes", "", key.name)
    if node is None:
        return None
    return not (node["spec"].get("podCIDR") or is_deleting(node))


def plan(pool: Pool, is_taken: Callable[[str], bool], others: Iterable[str] = ()) -> int | None:
    """The number of the first free range from where the pool begins on, and round; None if there
    is none.

    A range that was given back is the last to be given again, as upstream has it: who still has it
    somewhere gets time to forget it. ``others`` are taken ranges of another size.
    """
    overlapped = [ipaddress.ip_network(cidr) for cidr in others]
    for step in range(len(pool)):
        number = (pool.begin + step) % len(pool)
        cidr = pool.at(number)
        if is_taken(cidr):
            continue
        if overlapped and any(ipaddress.ip_network(cidr).overlaps(o) for o in overlapped):
            continue
        return number
    return None


def plan_all(
    pools: Sequence[Pool],
    is_taken: Callable[[str], bool],
    others: Callable[[Pool], Iterable[str]] = lambda _: (),
) -> Sequence[str] | None:
    """A free range of each pool, in their order, or None if one has none left; the pools go on."""
    numbers = [plan(pool, is_taken, others(pool)) for pool in pools]
    chosen = []
    for pool, number in zip(pools, numbers, strict=True):
        if number is None:
            return None
        chosen.append(pool.at(number))
        pool.begin = (number + 1) % len(pool)
    return chosen


def reconciler(
    cluster_cidr: str, node_prefix: int = 24, node_prefix_ipv6: int = NODE_PREFIX_IPV6
) -> Reconcile:
    """Reconcile with the cluster's range, e.g. 10.244.0.0/16 (two: see node_ranges), and the size
    of a node's. Raises ValueError."""
    pools = [Pool(each) for each in node_ranges(cluster_cidr, node_prefix, node_prefix_ipv6)]
    # Ranges written but perhaps not yet seen in the cache, by node. Only this process's single
    # worker allocates, so cache and this together are all there is.
    given: dict[str, Sequence[str]] = {}

    async def reconcile(key: Key, env: Env) -> Result:
        if not observe(key, env.cache):
            given.pop(key.name, None)
            return DONE
        chosen = given.get(key.name) or _choose(pools, env.cache, given.values())
        if chosen is None:
            _tell_full(key, env)
            return after(FULL_SECONDS)
        given[key.name] = chosen
        patch = {"spec": {"podCIDR": chosen[0], "podCIDRs": list(chosen)}}
        await env.client.patch("nodes", key.name, patch)
        return DONE

    return reconcile


def _choose(
    pools: Sequence[Pool], cache: Cache, given: Iterable[Sequence[str]]
) -> Sequence[str] | None:
    unseen = {cidr for cidrs in given for cidr in cidrs}

    def is_taken(cidr: str) -> bool:
        return cidr in unseen or cache.count("nodes", _RANGES, cidr) > 0

    return plan_all(pools, is_taken, lambda pool: pool.others(cache))


def _tell_full(key: Key, env: Env) -> None:
    node = env.cache.get("nodes", "", key.name)
    if node is not None:
        message = f"Node {key.name} status is now: CIDRNotAvailable"
        env.events.emit(node, "Normal", "CIDRNotAvailable", message)
