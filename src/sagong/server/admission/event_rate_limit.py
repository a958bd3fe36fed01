"""EventRateLimit: so many events a second, by server, namespace, user, or source and object.

Off by default. Source of semantics: upstream's ``plugin/pkg/admission/eventratelimit``.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sagong.api.errors import TooManyRequests
from sagong.api.types import Obj
from sagong.core.clock import Clock
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.plugin import Validating

LIMIT_TYPES = ("Server", "Namespace", "User", "SourceAndObject")
CACHE_SIZE = 4096  # keys of one limit that are remembered, where the configuration says nothing


class BadLimits(ValueError):
    """The configuration is not what it must be."""


@dataclass(frozen=True, slots=True)
class Limit:
    type: str
    qps: float
    burst: int
    cache_size: int = CACHE_SIZE


def limits_of(configuration: Any) -> Sequence[Limit]:
    """The limits of a ``Configuration`` (eventratelimit.admission.k8s.io). Raises BadLimits."""
    entries = (configuration or {}).get("limits") or []
    if not entries:
        raise BadLimits("limits: Required value")
    limits = []
    for i, entry in enumerate(entries):
        if entry.get("type") not in LIMIT_TYPES:
            supported = ", ".join(f'"{t}"' for t in LIMIT_TYPES)
            raise BadLimits(
                f'limits[{i}].type: Unsupported value: "{entry.get("type", "")}": '
                f"supported values: {supported}"
            )
        for name in ("qps", "burst"):
            if not isinstance(entry.get(name), int) or entry[name] <= 0:
                raise BadLimits(f"limits[{i}].{name}: Invalid value: must be positive")
        size = entry.get("cacheSize") or CACHE_SIZE
        limits.append(Limit(entry["type"], entry["qps"], entry["burst"], size))
    return limits


class Bucket:
    """Tokens that come back with time."""

    __slots__ = ("seen_at", "tokens")

    def __init__(self, tokens: float, now: float) -> None:
        self.tokens = tokens
        self.seen_at = now

    def take(self, limit: Limit, now: float) -> bool:
        self.tokens = min(limit.burst, self.tokens + (now - self.seen_at) * limit.qps)
        self.seen_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class EventRateLimit(Validating):
    name = "EventRateLimit"
    resources = frozenset(("events", "events.events.k8s.io"))

    def __init__(self, limits: Sequence[Limit], clock: Clock) -> None:
        self._clock = clock
        self._limits = [(limit, OrderedDict[str, Bucket]()) for limit in limits]

    async def validate(self, attributes: Attributes) -> None:
        if attributes.operation not in (Operation.CREATE, Operation.UPDATE) or attributes.dry_run:
            return
        now = self._clock.monotonic()
        # Every limit counts the event, even if another one refuses it.
        exceeded = [
            f"limit reached on type {limit.type} for key {_shown(key)}"
            for limit, buckets in self._limits
            if not _bucket(buckets, limit, key := _key(limit.type, attributes), now).take(
                limit, now
            )
        ]
        if exceeded:
            raise TooManyRequests("; ".join(exceeded))


def _bucket(buckets: OrderedDict[str, Bucket], limit: Limit, key: str, now: float) -> Bucket:
    """The bucket of a key; of too many keys the one that was used least recently is forgotten."""
    found = buckets.get(key)
    if found is None:
        found = buckets[key] = Bucket(limit.burst, now)
        if len(buckets) > limit.cache_size:
            buckets.popitem(last=False)
    buckets.move_to_end(key)
    return found


def _key(type_: str, attributes: Attributes) -> str:
    if type_ == "Namespace":
        return attributes.namespace
    if type_ == "User":
        return attributes.user.name
    return _source_and_object(attributes.obj or {}) if type_ == "SourceAndObject" else ""


def _source_and_object(event: Obj) -> str:
    source = event.get("source") or event.get("deprecatedSource") or {}
    about = event.get("involvedObject") or event.get("regarding") or {}
    parts = [source.get("component"), source.get("host")]
    parts += [about.get(name) for name in ("kind", "namespace", "name", "uid", "apiVersion")]
    return "".join(part or "" for part in parts)


def _shown(key: str) -> str:
    return key or "{}"
