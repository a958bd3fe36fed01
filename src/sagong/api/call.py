"""One API request and its answer, whichever way they travel.

The HTTP layer parses a request into a Call; the in-process transport hands a Call straight to the
server; the HTTPS transport writes a Call as a request. Authorisation, admission and validation see
only Calls, so there is one path through the server.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from sagong.api.types import Encoded, Obj, Resource


class Verb(StrEnum):
    """What a request does; the words of RBAC rules."""

    GET = "get"
    LIST = "list"
    WATCH = "watch"
    CREATE = "create"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    DELETE_COLLECTION = "deletecollection"


class PatchType(StrEnum):
    """The media type of a patch."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Preconditions:
    uid: str | None = None
    resource_version: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """The union of Get-, List-, Create-, Update-, Patch- and DeleteOptions; unset is None or ""."""

    resource_version: str = ""
    resource_version_match: str = ""
    label_selector: str = ""
    field_selector: str = ""
    metric_label_selector: str = ""  # of custom.metrics.k8s.io
    limit: int = 0
    continue_: str = ""
    timeout_seconds: int | None = None
    allow_watch_bookmarks: bool = False
    send_initial_events: bool | None = None
    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = ""  # "" means the server's default, Warn
    force: bool | None = None
    grace_period_seconds: int | None = None
    propagation_policy: str | None = None
    orphan_dependents: bool | None = None
    preconditions: Preconditions | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request for a resource. ``namespace`` is None for all namespaces or cluster scope."""

    verb: Verb
    resource: Resource
    namespace: str | None = None
    name: str = ""
    subresource: str = ""
    options: Options = field(default_factory=Options)
    # Decoded body: an object, JSON-patch operations (a list), or None. Never changed by the server.
    body: Any = None
    patch_type: PatchType | None = None
    # Who writes, where fieldManager is not given (upstream: the User-Agent up to the first "/").
    user_agent: str = ""
    # Members that the body's text held twice: ``duplicate field "spec.replicas"``.
    duplicates: Sequence[str] = ()
    # Where those who decide on the call leave annotations for the audit log, if there is one.
    notes: dict[str, str] = field(default_factory=dict, compare=False)

    def with_body(
        self, body: Any, duplicates: Sequence[str] = (), patch_type: PatchType | None = None
    ) -> "Call":
        """The call with what was sent along."""
        return Call(
            self.verb,
            self.resource,
            self.namespace,
            self.name,
            self.subresource,
            self.options,
            body,
            patch_type,
            self.user_agent,
            duplicates,
        )


@dataclass(frozen=True, slots=True)
class Single:
    """The answer to everything but list and watch: an object or a Status."""

    encoded: Encoded
    code: int = 200
    warnings: Sequence[str] = ()

    @property
    def obj(self) -> Obj:
        return self.encoded.obj


class Kept(Protocol):
    """Remembers the bytes that were made of a list's objects for as long as it holds just them."""

    def body(self, form: str, make: Callable[[], tuple[bytes, ...]]) -> tuple[bytes, ...]:
        """The objects in some form: what ``make`` makes of them, or made of them before."""
        ...


@dataclass(frozen=True, slots=True)
class Listing:
    """The answer to a list: shared objects, and the list's own metadata."""

    resource: Resource
    items: Sequence[Encoded]
    resource_version: str
    continue_: str = ""
    remaining: int | None = None
    warnings: Sequence[str] = ()
    kept: Kept | None = None


class EventType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Event:
    """One watch event; the object of BOOKMARK has only metadata, that of ERROR is a Status."""

    type: EventType
    encoded: Encoded

    @property
    def obj(self) -> Obj:
        return self.encoded.obj


@dataclass(frozen=True, slots=True)
class Watching:
    """The answer to a watch. Closing the iterator (``aclose``) ends the watch at the server."""

    events: AsyncIterator[Event]
    warnings: Sequence[str] = ()


Answer = Single | Listing | Watching
