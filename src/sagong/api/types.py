"""The words that every package shares: objects, resources, users."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

# An API object as decoded JSON: the one place where Any enters. Objects that come from a cache,
# an informer, a client or a store are shared and must never be changed: copy first.
Obj = dict[str, Any]

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    """One subresource of a resource, as discovery shows it."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    # Group and version of `kind` where they differ from the parent (Scale, Eviction, ...).
    group: str | None = None
    version: str | None = None
    # Of our own subresources, which Kubernetes does not have, discovery says nothing.
    discovered: bool = True


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource of one group and version, as discovery shows it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    custom: bool = False  # of a CustomResourceDefinition
    deprecation: str = ""  # the warning that every answer comes with

    def __hash__(self) -> int:
        """What tells resources apart; every request looks its own up in some table."""
        return hash((self.group, self.version, self.plural))

    @property
    def api_version(self) -> str:
        """``v1`` or ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """Version-less name, the key of tables and caches: ``pods`` or ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def list_kind(self) -> str:
        return self.kind + "List"

    @property
    def discovered(self) -> tuple[Subresource, ...]:
        """The subresources that discovery and the published schemas show."""
        return tuple(sub for sub in self.subresources if sub.discovered)

    def subresource(self, name: str) -> Subresource | None:
        return next((s for s in self.subresources if s.name == name), None)

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The URL path of a collection, an object or a subresource."""
        parts = ["/apis/" + self.group if self.group else "/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


@dataclass(frozen=True, slots=True)
class Key:
    """Which object of a known resource; what queues hold. Namespace "" where it has none."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class User:
    """Who asks: the result of authentication (``authentication.k8s.io/v1 UserInfo``)."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Encoded:
    """One immutable API object with its decoded form and its JSON bytes, each made at most once.

    The watch cache, list answers and watch events all share the same Encoded.
    """

    __slots__ = ("_data", "_obj")

    def __init__(self, obj: Obj | None = None, data: bytes | None = None) -> None:
        """Give at least one of the two; the other is made when first asked for."""
        self._obj = obj
        self._data = data

    @property
    def obj(self) -> Obj:
        """The decoded object. Never change it."""
        if self._obj is None:
            assert self._data is not None
            self._obj = orjson.loads(self._data)
        return self._obj

    @property
    def decoded(self) -> Obj | None:
        """The decoded object, if somebody has asked for it."""
        return self._obj

    @property
    def data(self) -> bytes:
        """The object as JSON."""
        if self._data is None:
            self._data = orjson.dumps(self._obj)
        return self._data
