"""Say where Ingresses of our class are reached: at the cluster's own nodes, which all serve them.

Reads: Ingress, IngressClass, Node.  Writes: Ingress.status.loadBalancer.
Invariant: an Ingress of another controller is never written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sagong.api.ingress import is_ours
from sagong.api.meta import deep_copy, is_deleting, key_of
from sagong.api.types import Key, Obj
from sagong.controllers.core.load_balancer import addresses_of_nodes, node_addresses
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch

INGRESSES = "ingresses.networking.k8s.io"
CLASSES = "ingressclasses.networking.k8s.io"


def _all(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    return [key_of(ingress) for ingress in cache.list(INGRESSES)]


def _node_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    if old is not None and new is not None and node_addresses(old) == node_addresses(new):
        return []
    return _all(old, new, cache)


CONTROLLER = Controller(
    name="ingress",
    reconciles=INGRESSES,
    watches=(Watch(CLASSES, _all), Watch("nodes", _node_wakes)),
)


@dataclass(frozen=True, slots=True)
class Seen:
    ingress: Obj
    nodes: Sequence[Obj]


def observe(key: Key, cache: Cache) -> Seen | None:
    """None for what is not ours to say anything of."""
    ingress = cache.get(INGRESSES, key.namespace, key.name)
    if ingress is None or is_deleting(ingress) or not is_ours(ingress, cache.list(CLASSES)):
        return None
    return Seen(ingress, tuple(cache.list("nodes")))


def plan(seen: Seen) -> Sequence[Obj]:
    """Where the Ingress is reached."""
    return [{"ip": ip} for ip in addresses_of_nodes(seen.nodes)]


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    wanted = list(plan(seen))
    current = ((seen.ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    if current == wanted:
        return DONE
    changed = deep_copy(seen.ingress)
    changed["status"] = {"loadBalancer": {"ingress": wanted} if wanted else {}}
    await env.client.update(INGRESSES, changed, subresource="status")
    return DONE
