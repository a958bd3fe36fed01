"""Calls written as HTTP requests, and responses read as answers. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from sagong.api.call import Call, Event, EventType, Listing, Options, PatchType, Verb
from sagong.api.errors import ApiError, InternalError, from_status
from sagong.api.types import Encoded, Obj, Resource

_METHODS = {
    Verb.GET: "GET",
    Verb.LIST: "GET",
    Verb.WATCH: "GET",
    Verb.CREATE: "POST",
    Verb.UPDATE: "PUT",
    Verb.PATCH: "PATCH",
    Verb.DELETE: "DELETE",
    Verb.DELETE_COLLECTION: "DELETE",
}
_COLLECTION = frozenset({Verb.LIST, Verb.WATCH, Verb.DELETE_COLLECTION})
_WRITES = frozenset({Verb.CREATE, Verb.UPDATE, Verb.PATCH})
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; the path is already quoted."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes | None
    content_type: str


def request_of(call: Call) -> Request:
    """The request that carries a call."""
    name = "" if call.verb in _COLLECTION else quote(call.name, safe="")
    subresource = quote(call.subresource, safe="/")
    path = call.resource.path(quote(call.namespace or "", safe="") or None, name, subresource)
    body = None
    if call.verb in (Verb.DELETE, Verb.DELETE_COLLECTION):
        body = orjson.dumps(delete_options(call.options))
    elif call.body is not None:
        body = orjson.dumps(call.body)
    type_ = "application/json"
    if call.verb == Verb.PATCH:
        type_ = str(call.patch_type or PatchType.MERGE)
    return Request(_METHODS[call.verb], path, _query(call), body, type_)


def _query(call: Call) -> dict[str, str]:
    options = call.options
    query: dict[str, Any] = {}
    if call.verb in _COLLECTION or call.verb == Verb.GET:
        query |= {
            "labelSelector": options.label_selector,
            "fieldSelector": options.field_selector,
            "metricLabelSelector": options.metric_label_selector,
            "limit": options.limit or "",
            "continue": options.continue_,
            "resourceVersion": options.resource_version,
            "resourceVersionMatch": options.resource_version_match,
            "timeoutSeconds": options.timeout_seconds,
        }
    if call.verb == Verb.WATCH:
        query["watch"] = True
        query["allowWatchBookmarks"] = options.allow_watch_bookmarks or None
        query["sendInitialEvents"] = options.send_initial_events
    if call.verb in _WRITES:
        query |= {
            "dryRun": "All" if options.dry_run else None,
            "fieldManager": options.field_manager,
            "fieldValidation": options.field_validation,
            "force": options.force,
        }
    return {key: _text(value) for key, value in query.items() if value not in (None, "")}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def delete_options(options: Options) -> Obj:
    """The ``DeleteOptions`` body."""
    preconditions = options.preconditions
    body: Obj = {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "gracePeriodSeconds": options.grace_period_seconds,
        "propagationPolicy": options.propagation_policy,
        "orphanDependents": options.orphan_dependents,
        "dryRun": ["All"] if options.dry_run else None,
    }
    if preconditions is not None:
        pairs = {"uid": preconditions.uid, "resourceVersion": preconditions.resource_version}
        body["preconditions"] = {key: value for key, value in pairs.items() if value}
    return {key: value for key, value in body.items() if value is not None}


def error_of(code: int, body: bytes, retry_after: str | None) -> ApiError:
    """The failure that a response stands for, whether or not it carries a Status."""
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        text = body[:2048].decode(errors="replace").strip()
        status = {"message": text or f"the server answered {code}", "code": code}
    if retry_after and retry_after.isdigit():
        details = dict(status.get("details") or {})
        details.setdefault("retryAfterSeconds", int(retry_after))
        status = status | {"details": details}
    return from_status(status)


def warnings_of(headers: Iterable[str]) -> tuple[str, ...]:
    """The texts of ``Warning`` headers (RFC 7234, code 299)."""
    found = (text for header in headers for text in _WARNING.findall(header))
    return tuple(re.sub(r"\\(.)", r"\1", text) for text in found)


def listing_of(resource: Resource, body: bytes, warnings: tuple[str, ...]) -> Listing:
    """A list response. Servers leave kind and version off the items; here they have them."""
    found = decode(body)
    head: Obj = {"apiVersion": resource.api_version, "kind": resource.kind}
    metadata = found.get("metadata") or {}
    return Listing(
        resource,
        [Encoded(head | item) for item in found.get("items") or ()],
        str(metadata.get("resourceVersion", "")),
        str(metadata.get("continue", "")),
        metadata.get("remainingItemCount"),
        warnings,
    )


def event_of(line: bytes) -> Event:
    """One line of a watch. Raises what an ERROR event stands for."""
    found = decode(line)
    type_ = EventType(found["type"])
    if type_ == EventType.ERROR:
        raise from_status(found["object"])
    return Event(type_, Encoded(found["object"]))


def decode(body: bytes) -> Obj:
    """A JSON object. Raises InternalError for anything else."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InternalError(f"the server's answer is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InternalError("the server's answer is not an object")
    return found
