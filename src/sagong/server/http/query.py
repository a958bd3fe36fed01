"""Query parameters and DeleteOptions as Options, with upstream's refusals."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from sagong.api import errors
from sagong.api.call import Options, Preconditions, Verb
from sagong.api.types import Obj

NONE = Options()
_KINDS = {
    Verb.CREATE: "CreateOptions",
    Verb.UPDATE: "UpdateOptions",
    Verb.PATCH: "PatchOptions",
    Verb.DELETE: "DeleteOptions",
    Verb.DELETE_COLLECTION: "DeleteOptions",
}


def parse(query: str) -> Mapping[str, str]:
    """Parameters; of one given several times the first counts."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found.setdefault(name, value)
    return found


def parse_all(query: str) -> list[tuple[str, str]]:
    """Parameters in order, repeated ones as often as they are given."""
    return parse_qsl(query, keep_blank_values=True)


def is_true(text: str | None) -> bool:
    """A boolean parameter, as apimachinery reads it: everything but false and 0."""
    return text is not None and text.lower() not in ("false", "0")


def options_of(parameters: Mapping[str, str], verb: Verb) -> Options:
    """Raises BadRequest for numbers that are none, Invalid for unknown dryRun values."""
    if not parameters:
        return NONE
    get = parameters.get
    return Options(
        resource_version=get("resourceVersion", ""),
        resource_version_match=get("resourceVersionMatch", ""),
        label_selector=get("labelSelector", ""),
        field_selector=get("fieldSelector", ""),
        limit=_integer(parameters, "limit") or 0,
        continue_=get("continue", ""),
        timeout_seconds=_integer(parameters, "timeoutSeconds"),
        allow_watch_bookmarks=is_true(get("allowWatchBookmarks")),
        send_initial_events=_boolean(parameters, "sendInitialEvents"),
        dry_run=_dry_run(get("dryRun"), verb),
        field_manager=get("fieldManager", ""),
        field_validation=get("fieldValidation", ""),
        force=_boolean(parameters, "force"),
        grace_period_seconds=_integer(parameters, "gracePeriodSeconds"),
        propagation_policy=get("propagationPolicy"),
        orphan_dependents=_boolean(parameters, "orphanDependents"),
    )


def _integer(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    try:
        if "_" in text:
            raise ValueError
        return int(text)
    except ValueError:
        message = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        raise errors.BadRequest(message) from None


def _boolean(parameters: Mapping[str, str], name: str) -> bool | None:
    return is_true(parameters[name]) if name in parameters else None


def _dry_run(text: str | None, verb: Verb) -> bool:
    if not text:
        return False
    if text != "All":
        cause = {
            "reason": "FieldValueNotSupported",
            "message": f'Unsupported value: "{text}": supported values: "All"',
            "field": "dryRun",
        }
        raise errors.invalid("meta.k8s.io", _KINDS.get(verb, "ListOptions"), "", [cause])
    return True


def delete_options(body: Obj, options: Options) -> Options:
    """The options in the body of a DELETE, which count instead of the query's."""
    conditions: Mapping[str, Any] = body.get("preconditions") or {}
    dry_run = body.get("dryRun") or []
    return Options(
        resource_version=options.resource_version,
        resource_version_match=options.resource_version_match,
        label_selector=options.label_selector,
        field_selector=options.field_selector,
        limit=options.limit,
        continue_=options.continue_,
        timeout_seconds=options.timeout_seconds,
        dry_run=options.dry_run or any(_dry_run(text, Verb.DELETE) for text in dry_run),
        grace_period_seconds=body.get("gracePeriodSeconds", options.grace_period_seconds),
        propagation_policy=body.get("propagationPolicy", options.propagation_policy),
        orphan_dependents=body.get("orphanDependents", options.orphan_dependents),
        preconditions=Preconditions(conditions.get("uid"), conditions.get("resourceVersion"))
        if conditions
        else None,
    )
