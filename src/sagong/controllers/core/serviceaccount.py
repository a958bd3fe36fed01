"""Keep a service account named ``default`` in every active namespace.

Reads: Namespace, ServiceAccount.  Writes: ServiceAccount (create).
Invariant: only adds; a service account that somebody made is left as it is.
"""

from dataclasses import dataclass

from sagong.api.errors import AlreadyExists
from sagong.api.types import Key
from sagong.controllers.core.phase import is_active
from sagong.controllers.core.wakes import namespace_of_object
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch

RESOURCE = "serviceaccounts"
NAMES = ("default",)

CONTROLLER = Controller(
    name="service-account",
    reconciles="namespaces",
    watches=(Watch(RESOURCE, namespace_of_object),),
    workers=5,
)


@dataclass(frozen=True, slots=True)
class Seen:
    active: bool
    present: frozenset[str]


def observe(key: Key, cache: Cache) -> Seen | None:
    namespace = cache.get("namespaces", "", key.name)
    if namespace is None:
        return None
    present = frozenset(n for n in NAMES if cache.get(RESOURCE, key.name, n) is not None)
    return Seen(is_active(namespace), present)


def plan(seen: Seen) -> list[str]:
    """The names to be created."""
    return [name for name in NAMES if name not in seen.present] if seen.active else []


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    for name in plan(seen):
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": key.name},
        }
        try:
            await env.client.create(RESOURCE, account)
        except AlreadyExists:
            continue
    return DONE
