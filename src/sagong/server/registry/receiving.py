"""From the body of a write to an object of the resource's kind, checked for stray fields."""

from functools import cache
from typing import Any

from sagong.api import errors
from sagong.api.call import Call, Verb
from sagong.api.decode import check, check_configuration, strict_error
from sagong.api.decode import warnings as told
from sagong.api.meta import deep_copy
from sagong.api.resources import BUILT_IN
from sagong.api.types import Obj, Resource
from sagong.server.registry.served import Served

FIELD_VALIDATION_VALUES = ("", "Ignore", "Strict", "Warn")
_SCHEME = "pkg/api/legacyscheme/scheme.go:30"  # where upstream registers built-in kinds
_OPTION_KINDS = {
    Verb.CREATE: "CreateOptions",
    Verb.UPDATE: "UpdateOptions",
    Verb.PATCH: "PatchOptions",
}


def receive(call: Call, served: Served, warnings: list[str]) -> Obj:
    """A copy of the call's body, typed, decoded and converted to the storage version.

    Unknown and duplicate fields are refused, told in ``warnings`` or dropped silently, as
    ``fieldValidation`` says. Raises BadRequest, Invalid.
    """
    body = call.body
    resource = served.resource
    if not isinstance(body, dict):
        raise errors.BadRequest(
            f"the object provided is unrecognized (must be of type {resource.kind}): "
            "couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"
        )
    obj = deep_copy(body)
    check_type(obj, resource)
    checked(obj, call, served, warnings)
    return served.to_storage(obj)


def checked(
    obj: Obj, call: Call, served: Served, warnings: list[str], *, configuration: bool = False
) -> None:
    """Decode ``obj`` in place against its schema; say or refuse what is not known.

    Of a configuration to be applied, what it does not say is not filled in.
    """
    strays = list(call.duplicates)
    if served.node is not None and configuration:
        check_configuration(obj, served.node)
    elif served.node is not None:
        strays += check(obj, served.node)
    if not strays:
        return
    validation = call.options.field_validation or "Warn"
    if validation == "Strict":
        if call.verb is Verb.PATCH:
            raise errors.BadRequest(f"strict decoding error: {', '.join(strays)}")
        raise strict_error(served.resource.kind, served.resource.version, strays)
    if validation == "Warn":
        warnings += told(strays)


def check_options(call: Call) -> None:
    """Refuse option values that no write knows."""
    if call.options.field_validation not in FIELD_VALIDATION_VALUES:
        kind = _OPTION_KINDS[call.verb]
        shown = ", ".join(f'"{value}"' for value in FIELD_VALIDATION_VALUES)
        cause = {
            "reason": "FieldValueNotSupported",
            "message": f'Unsupported value: "{call.options.field_validation}": '
            f"supported values: {shown}",
            "field": "fieldValidation",
        }
        raise errors.invalid("meta.k8s.io", kind, "", [cause])


def check_type(obj: Obj, resource: Resource) -> None:
    """Fill in the type where it is left out, refuse another one."""
    kind: Any = obj.get("kind") or resource.kind
    api_version: Any = obj.get("apiVersion") or resource.api_version
    group, _, version = str(api_version).rpartition("/")
    own = (resource.api_version, resource.kind)
    if not resource.custom and (str(api_version), kind) not in _registered() | {own}:
        raise errors.BadRequest(
            f'{kind} in version "{version}" cannot be handled as a {resource.kind}: no kind '
            f'"{kind}" is registered for version "{api_version}" in scheme "{_SCHEME}"'
        )
    if kind != resource.kind or group != resource.group:
        internal = resource.group.partition(".")[0] or "core"
        raise errors.BadRequest(
            f'{kind} in version "{version}" cannot be handled as a {resource.kind}: '
            f"converting ({_go_name(group, version)}.{kind}) to ({internal}.{resource.kind}): "
            "unknown conversion"
        )
    if version != resource.version:
        raise errors.BadRequest(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    obj["kind"], obj["apiVersion"] = resource.kind, resource.api_version
    if obj.get("metadata") is None:
        obj["metadata"] = {}


@cache
def _registered() -> frozenset[tuple[str, str]]:
    """The kinds that can be decoded at all, wherever they are served."""
    return frozenset((r.api_version, r.kind) for r in BUILT_IN)


def _go_name(group: str, version: str) -> str:
    return version
