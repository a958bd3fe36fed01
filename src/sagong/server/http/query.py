"""Query parameters and DeleteOptions as Options, with upstream's refusals."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from sagong.api import errors
from sagong.api.call import Options, Preconditions, Verb
from sagong.api.types import Obj

NONE = Options()
FIELD_MANAGER_BYTES_MAX = 128  # upstream's FieldManagerMaxLength
INTEGER_DIGITS_MAX = 20  # more are out of range anyhow, and slow to read
_WRITES = (Verb.CREATE, Verb.UPDATE, Verb.PATCH)
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
        limit=max(0, _integer(parameters, "limit") or 0),
        continue_=get("continue", ""),
        timeout_seconds=_integer(parameters, "timeoutSeconds"),
        allow_watch_bookmarks=is_true(get("allowWatchBookmarks")),
        send_initial_events=_boolean(parameters, "sendInitialEvents"),
        dry_run=_dry_run(get("dryRun"), verb),
        field_manager=_field_manager(get("fieldManager", ""), verb),
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
    problem = ""
    if re.fullmatch("[+-]?[0-9]+", text, re.ASCII) is None:
        problem = "invalid syntax"
    elif len(text) > INTEGER_DIGITS_MAX or not -(2**63) <= int(text) < 2**63:
        problem = "value out of range"
    if problem:
        shown = orjson.dumps(text).decode()
        raise errors.BadRequest(f"strconv.ParseInt: parsing {shown}: {problem}")
    return int(text)


def _boolean(parameters: Mapping[str, str], name: str) -> bool | None:
    return is_true(parameters[name]) if name in parameters else None


def _field_manager(text: str, verb: Verb) -> str:
    """Who writes: at most 128 printable characters."""
    problem = ""
    if len(text.encode()) > FIELD_MANAGER_BYTES_MAX:
        reason = "FieldValueTooLong"
        problem = f"Too long: may not be more than {FIELD_MANAGER_BYTES_MAX} bytes"
    else:
        at = next((i for i, c in enumerate(text) if not c.isprintable()), None)
        if at is not None:
            reason = "FieldValueInvalid"
            shown, code = orjson.dumps(text).decode(), f"U+{ord(text[at]):04X}"
            where = len(text[:at].encode())
            problem = f"Invalid value: {shown}: invalid character {code} (at position {where})"
    if problem and verb in _WRITES:
        cause = {"reason": reason, "message": problem, "field": "fieldManager"}
        raise errors.invalid("meta.k8s.io", _KINDS[verb], "", [cause])
    return text


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
    _check_types(body)
    conditions: Mapping[str, Any] = body.get("preconditions") or {}
    dry_run = [_dry_run(text, Verb.DELETE) for text in body.get("dryRun") or ()]
    return Options(
        resource_version=options.resource_version,
        resource_version_match=options.resource_version_match,
        label_selector=options.label_selector,
        field_selector=options.field_selector,
        limit=options.limit,
        continue_=options.continue_,
        timeout_seconds=options.timeout_seconds,
        dry_run=options.dry_run or any(dry_run),
        grace_period_seconds=body.get("gracePeriodSeconds", options.grace_period_seconds),
        propagation_policy=body.get("propagationPolicy", options.propagation_policy),
        orphan_dependents=body.get("orphanDependents", options.orphan_dependents),
        preconditions=Preconditions(conditions.get("uid"), conditions.get("resourceVersion"))
        if conditions
        else None,
    )


_OPTION_TYPES = {
    "gracePeriodSeconds": (int, "int64"),
    "propagationPolicy": (str, "v1.DeletionPropagation"),
    "orphanDependents": (bool, "bool"),
    "dryRun": (list, "[]string"),
    "preconditions": (dict, "v1.Preconditions"),
}
_JSON_WORDS = {dict: "object", list: "array", str: "string", bool: "bool"}


def _check_types(body: Obj) -> None:
    """DeleteOptions have no schema of a resource, so their few fields are looked at here."""
    for field, (type_, word) in _OPTION_TYPES.items():
        value = body.get(field)
        if value is None or (isinstance(value, type_) and (type_ is bool or value is not True)):
            continue
        given = _JSON_WORDS.get(type(value), "number")
        raise errors.BadRequest(
            'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: json: cannot '
            f"unmarshal {given} into Go struct field DeleteOptions.{field} of type {word}"
        )
