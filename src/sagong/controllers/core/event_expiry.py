"""Let Events go an hour after they were last written.

Reads: Event.  Writes: Event (delete).
Invariant: an event that was written again meanwhile is kept for an hour more.

Upstream leaves this to etcd's leases (kube-apiserver's ``--event-ttl``); our stores know none.
"""

from dataclasses import dataclass

from sagong.api.errors import Conflict, NotFound
from sagong.api.types import Key, Obj
from sagong.core.clock import parse_time
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, after

TTL_SECONDS = 3600.0

CONTROLLER = Controller(name="event-expiry", reconciles="events", workers=2)


@dataclass(frozen=True, slots=True)
class Seen:
    event: Obj


def observe(key: Key, cache: Cache) -> Seen | None:
    event = cache.get("events", key.namespace, key.name)
    return None if event is None else Seen(event)


def plan(seen: Seen) -> float:
    """When the event is to go (seconds since the epoch): an hour after the last sign of it."""
    event = seen.event
    series = event.get("series") or {}
    written = [f["time"] for f in event["metadata"].get("managedFields") or () if f.get("time")]
    times = [
        event["metadata"]["creationTimestamp"],
        event.get("lastTimestamp"),
        series.get("lastObservedTime"),
        *written,
    ]
    # What claims to lie in the future was still written no later than the server says.
    return max(parse_time(t) for t in times if t) + TTL_SECONDS


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    left = plan(seen) - env.clock.now()
    if left > 0:
        return after(left)
    try:
        await env.client.delete(
            "events",
            key.name,
            namespace=key.namespace,
            resource_version=seen.event["metadata"]["resourceVersion"],
        )
    except (NotFound, Conflict):
        return DONE
    return DONE
