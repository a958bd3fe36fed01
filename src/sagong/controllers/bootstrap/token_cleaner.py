"""Delete bootstrap tokens whose time is up.

Reads: Secret (kube-system).  Writes: Secret (delete).
Invariant: only secrets of the type of bootstrap tokens, and none before its expiration.
"""

from dataclasses import dataclass

from sagong.api.errors import Conflict, NotFound
from sagong.api.meta import uid_of
from sagong.api.types import Key, Obj
from sagong.controllers.bootstrap.tokens import expires, is_token
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, after

CONTROLLER = Controller(name="token-cleaner", reconciles="secrets")


@dataclass(frozen=True, slots=True)
class Seen:
    secret: Obj


def observe(key: Key, cache: Cache) -> Seen | None:
    secret = cache.get("secrets", key.namespace, key.name)
    return Seen(secret) if secret is not None and is_token(secret) else None


def plan(seen: Seen, *, now: float) -> float | None:
    """Seconds until the token is to be deleted, 0 or less: now; None: never."""
    end = expires(seen.secret)
    return None if end is None else end - now


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    left = plan(seen, now=env.clock.now()) if seen else None
    if seen is None or left is None:
        return DONE
    if left > 0:
        return after(left)
    try:
        await env.client.delete(
            "secrets", key.name, namespace=key.namespace, uid=uid_of(seen.secret)
        )
    except (NotFound, Conflict):
        return DONE
    return DONE
