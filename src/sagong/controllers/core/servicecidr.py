"""Say of each ServiceCIDR that it is ready, and keep it while services have addresses of it.

Reads: ServiceCIDR, IPAddress, Service.  Writes: ServiceCIDR (finalizer, status).
Invariant: the finalizer goes only when every address in use lies in another range that stays.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from sagong.api.meta import condition, deep_copy, finalizers_of, is_deleting, key_of, name_of
from sagong.api.types import Key, Obj
from sagong.core.clock import format_time
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch

RESOURCE = "servicecidrs.networking.k8s.io"
ADDRESSES = "ipaddresses.networking.k8s.io"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _all_deleted_wake(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """An address that is given back, or another range, may let one go that is being deleted."""
    return [key_of(c) for c in cache.list(RESOURCE) if is_deleting(c)]


CONTROLLER = Controller(
    name="service-cidrs",
    reconciles=RESOURCE,
    watches=(
        Watch(RESOURCE, _all_deleted_wake),
        Watch(ADDRESSES, _all_deleted_wake),
        Watch("services", _all_deleted_wake),
    ),
)


class Step(Enum):
    NOTHING = "nothing"
    PROTECT = "add the finalizer"
    READY = "say that it is ready"
    IN_USE = "say that it cannot go yet"
    RELEASE = "remove the finalizer"


@dataclass(frozen=True, slots=True)
class Seen:
    cidr: Obj
    others: Sequence[Obj]  # ranges that stay
    addresses: Sequence[str]  # in use


def observe(key: Key, cache: Cache) -> Seen | None:
    cidr = cache.get(RESOURCE, "", key.name)
    if cidr is None:
        return None
    if not is_deleting(cidr):
        return Seen(cidr, (), ())
    others = [c for c in cache.list(RESOURCE) if name_of(c) != key.name and not is_deleting(c)]
    addresses = [name_of(a) for a in cache.list(ADDRESSES)]
    for service in cache.list("services"):
        addresses += [ip for ip in service["spec"].get("clusterIPs") or () if ip != "None"]
    return Seen(cidr, others, addresses)


def plan(seen: Seen) -> Step:
    ready = condition(seen.cidr, "Ready")
    protected = FINALIZER in finalizers_of(seen.cidr)
    if not is_deleting(seen.cidr):
        if not protected:
            return Step.PROTECT
        return Step.NOTHING if ready and ready["status"] == "True" else Step.READY
    if not protected:
        return Step.NOTHING
    if not _is_needed(seen):
        return Step.RELEASE
    return Step.NOTHING if ready and ready["status"] == "False" else Step.IN_USE


def _networks(cidr: Obj) -> list[Network]:
    return [ipaddress.ip_network(text) for text in (cidr.get("spec") or {}).get("cidrs") or ()]


def _is_needed(seen: Seen) -> bool:
    mine = _networks(seen.cidr)
    others = [network for other in seen.others for network in _networks(other)]
    for text in seen.addresses:
        address = ipaddress.ip_address(text)
        if any(address in n for n in mine) and not any(address in n for n in others):
            return True
    return False


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    match plan(seen):
        case Step.PROTECT:
            await _set_finalizers(seen.cidr, [*finalizers_of(seen.cidr), FINALIZER], env)
        case Step.RELEASE:
            kept = [f for f in finalizers_of(seen.cidr) if f != FINALIZER]
            await _set_finalizers(seen.cidr, kept, env)
        case Step.READY:
            await _set_ready(seen.cidr, "True", "", "Kubernetes Service CIDR is ready", env)
        case Step.IN_USE:
            message = (
                "There are still IPAddresses referencing the ServiceCIDR, "
                "please remove them or create a new ServiceCIDR"
            )
            await _set_ready(seen.cidr, "False", "Terminating", message, env)
    return DONE


async def _set_finalizers(cidr: Obj, finalizers: Sequence[str], env: Env) -> None:
    changed = deep_copy(cidr)
    changed["metadata"]["finalizers"] = list(finalizers)
    await env.client.update(RESOURCE, changed)


async def _set_ready(cidr: Obj, status: str, reason: str, message: str, env: Env) -> None:
    ready = {
        "type": "Ready",
        "status": status,
        "lastTransitionTime": format_time(env.clock.now()),
        "reason": reason,
        "message": message,
    }
    changed = deep_copy(cidr)
    conditions = (changed.get("status") or {}).get("conditions") or []
    kept = [c for c in conditions if c["type"] != "Ready"]
    changed["status"] = {**(changed.get("status") or {}), "conditions": [*kept, ready]}
    await env.client.update(RESOURCE, changed, subresource="status")
