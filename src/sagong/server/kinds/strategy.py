"""What makes a kind special: data, and a few pure functions where data do not suffice.

Everything that all kinds share (decoding, unknown fields, metadata, managed fields, optimistic
concurrency, deletion, status stripping, generation) is done by the registry. A kind's file under
``server/kinds/<group>/`` holds one ``STRATEGY``; kinds without a file get ``Strategy()``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sagong.api.types import Obj
from sagong.api.validation import ErrorList


def _nothing(obj: Obj) -> None:
    """Change nothing."""


def _nothing_on_update(new: Obj, old: Obj) -> None:
    """Change nothing."""


def _no_errors(obj: Obj, errors: ErrorList) -> None:
    """Accept."""


def _no_update_errors(new: Obj, old: Obj, errors: ErrorList) -> None:
    """Accept."""


def _keep_nothing(obj: Obj, now: str) -> None:
    """Nothing but what is in the object already."""


def _no_fields(obj: Obj) -> Mapping[str, str]:
    return {}


def _no_warnings(new: Obj, old: Obj | None) -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Strategy:
    """Per-kind behaviour. Functions get the write's own copy of the object and may change it."""

    # Fill in defaults (upstream's SetDefaults_*); idempotent; also run on objects read from store.
    default: Callable[[Obj], None] = _nothing
    # Before create: drop what a client may not set (the registry already drops status).
    prepare_for_create: Callable[[Obj], None] = _nothing
    # Before update of the main resource: (new, old). The registry already keeps old status,
    # immutable metadata and, if `has_generation`, increments generation when spec changed.
    prepare_for_update: Callable[[Obj, Obj], None] = _nothing_on_update
    prepare_for_status_update: Callable[[Obj, Obj], None] = _nothing_on_update
    validate: Callable[[Obj, ErrorList], None] = _no_errors
    # (new, old); upstream's ValidateXUpdate *besides* what `validate` says of the new object,
    # which is run as well unless `validates_on_update` is False.
    validate_update: Callable[[Obj, Obj, ErrorList], None] = _no_update_errors
    validate_status_update: Callable[[Obj, Obj, ErrorList], None] = _no_update_errors
    validates_on_update: bool = True
    # How metadata.name must look: "subdomain", "label" (RFC 1123), "label1035", "path-segment".
    name_rule: str = "subdomain"
    # Values that field selectors may select besides metadata.name and metadata.namespace.
    selectable_fields: Callable[[Obj], Mapping[str, str]] = _no_fields
    # Their names, for "field label not supported".
    selectable_field_names: tuple[str, ...] = ()
    # Warnings for a create (old is None) or an update.
    warnings: Callable[[Obj, Obj | None], list[str]] = _no_warnings
    # Does metadata.generation exist and count changes of everything but metadata and status?
    has_generation: bool = False
    # Is there a status that only the status subresource may write?
    has_status: bool = True
    # May a client give a status when it creates an object? Nodes come with theirs.
    status_on_create: bool = False
    # May an update create an absent object (upstream AllowCreateOnUpdate)?
    create_on_update: bool = False
    # May an update come without resourceVersion (upstream AllowUnconditionalUpdate)?
    unconditional_update: bool = True
    # When deletion begins: what keeps the object until others have finished with it; (the new
    # state, which this may change, and the time as RFC 3339).
    begin_deletion: Callable[[Obj, str], None] = _keep_nothing
    # Default deletion grace: None if the kind is deleted at once; pods wait for their node.
    graceful: bool = False
    # Default propagation when the client names none: "background", or "orphan" (legacy RCs).
    default_propagation: str = "background"


DEFAULT = Strategy()
