"""The seam between a write and those who may change or refuse it.

Order of a write: decode, default, (patch), strategy.prepare, admission ``admit`` of every plugin in
order (these may change the object), defaulting again for what they added, strategy validation,
admission ``validate`` of every plugin in order, store.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from sagong.api.call import Options
from sagong.api.types import Encoded, Obj, Resource, User


class Operation(StrEnum):
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


class Lister(Protocol):
    """The server's own caches, always as fresh as the last acknowledged write of this server."""

    def get(self, resource: str, namespace: str, name: str) -> Encoded | None:
        """``resource`` is version-less (``pods``, ``deployments.apps``), in its storage version."""
        ...

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Encoded]: ...

    def version(self, resource: str) -> int:
        """A number that changes whenever any object of the resource changes; cheap to ask.

        What is compiled from many objects (RBAC, priorities, quotas) is rebuilt when it differs.
        """
        ...


@dataclass(slots=True)
class Attributes:
    """One write, as admission sees it. ``obj`` is its own copy: ``admit`` may change it."""

    operation: Operation
    resource: Resource  # as it is stored
    subresource: str
    namespace: str
    name: str
    # None for DELETE. Of the subresource's kind where that is not the resource's (Scale, Binding,
    # the options of a connection), else in the form in which the registry works on it.
    obj: Obj | None
    old: Obj | None  # shared, never changed; None for CREATE
    options: Options
    user: User
    lister: Lister
    warnings: list[str] = field(default_factory=list)
    # What plugins tell the audit log, by name.
    annotations: dict[str, str] = field(default_factory=dict)
    # The resource in the version that the client named, where that is not the stored one.
    requested: Resource | None = None
    # What plugins remember of this write from one round to the next, by plugin.
    memory: dict[str, Any] = field(default_factory=dict)
    # A webhook changed the object after others had seen it: all plugins admit once more.
    is_again_wanted: bool = False
    is_again: bool = False

    @property
    def asked(self) -> Resource:
        return self.requested or self.resource

    @property
    def dry_run(self) -> bool:
        return self.options.dry_run


class Plugin(Protocol):
    """One admission plugin; both methods raise ``api.errors`` to refuse.

    A plugin that only validates leaves ``admit`` empty, and the other way round. One that looks at
    a few resources only has their version-less names as ``resources`` and is not asked of others.
    """

    name: str

    async def admit(self, attributes: Attributes) -> None: ...

    async def validate(self, attributes: Attributes) -> None: ...
