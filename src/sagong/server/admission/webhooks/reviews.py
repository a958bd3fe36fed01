"""The question to a webhook and its answer: ``admission.k8s.io`` AdmissionReview. Pure.

Source of semantics: apiserver's ``pkg/admission/plugin/webhook/request`` and ``errors``.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from sagong.api.errors import ApiError, from_status
from sagong.api.types import Obj, Resource, User
from sagong.client.requests import delete_options
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.webhooks.matching import namespace_of

VERSIONS = ("v1", "v1beta1")
_GROUP = "admission.k8s.io"
_OPTION_KINDS = {Operation.CREATE: "CreateOptions", Operation.UPDATE: "UpdateOptions"}
_BAD_REQUEST = 400  # a refusal with a smaller code becomes this


class InvalidAnswer(Exception):
    """What a webhook answered is not an answer; the text is upstream's."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a webhook said."""

    allowed: bool
    status: Obj = field(default_factory=dict)
    patch: bytes = b""
    warnings: Sequence[str] = ()
    audit_annotations: Mapping[str, str] = field(default_factory=dict)


def version_of(accepted: Sequence[str]) -> str:
    """The first version that a webhook accepts and we know. Raises InvalidAnswer."""
    for version in accepted:
        if version in VERSIONS:
            return version
    raise InvalidAnswer("webhook does not accept known AdmissionReview versions (v1, v1beta1)")


def review(
    attributes: Attributes,
    wanted: Resource,
    *,
    uid: str,
    version: str,
    obj: Obj | None,
    old: Obj | None,
) -> Obj:
    """The question. ``wanted`` is the resource in the version of ``obj`` and ``old``."""
    request = {
        "uid": uid,
        **request_of(attributes, wanted),
        "object": obj,
        "oldObject": old,
    }
    return {
        "kind": "AdmissionReview",
        "apiVersion": f"{_GROUP}/{version}",
        "request": request,
    }


def request_of(attributes: Attributes, wanted: Resource) -> Obj:
    """What is said of a write besides its objects, which are shown as ``wanted``."""
    asked, sub = attributes.asked, attributes.subresource
    request: Obj = {
        "kind": kind_of(wanted, sub),
        "resource": _gvr(wanted),
        "subResource": sub,
        "requestKind": kind_of(asked, sub),
        "requestResource": _gvr(asked),
        "requestSubResource": sub,
        "name": attributes.name,
        "namespace": namespace_of(attributes),
        "operation": attributes.operation.value,
        "userInfo": _user_info(attributes.user),
        "dryRun": attributes.dry_run,
        "options": _options(attributes),
    }
    for name in ("subResource", "requestSubResource", "name", "namespace"):
        if not request[name]:
            del request[name]
    return request


def kind_of(resource: Resource, subresource: str) -> Obj:
    """The kind of the object of a write."""
    sub = resource.subresource(subresource) if subresource else None
    if sub is None or sub.kind == resource.kind:
        return {"group": resource.group, "version": resource.version, "kind": resource.kind}
    group = resource.group if sub.group is None else sub.group
    return {"group": group, "version": sub.version or resource.version, "kind": sub.kind}


def _gvr(resource: Resource) -> Obj:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def _user_info(user: User) -> Obj:
    info: Obj = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _options(attributes: Attributes) -> Obj | None:
    options = attributes.options
    if attributes.operation is Operation.CONNECT:
        return None
    if attributes.operation is Operation.DELETE:
        return {**delete_options(options), "apiVersion": "meta.k8s.io/v1"}
    found: Obj = {"kind": _OPTION_KINDS[attributes.operation], "apiVersion": "meta.k8s.io/v1"}
    if options.dry_run:
        found["dryRun"] = ["All"]
    if options.field_manager:
        found["fieldManager"] = options.field_manager
    if options.field_validation:
        found["fieldValidation"] = options.field_validation
    return found


def verdict(answer: Obj, *, uid: str, version: str, mutating: bool) -> Verdict:
    """What the answer says. Raises InvalidAnswer."""
    response = answer.get("response")
    if not isinstance(response, dict):
        raise InvalidAnswer("webhook response was absent")
    if version == "v1":
        _check_identity(answer, response, uid)
    patch = _patch_of(response)
    if version == "v1":
        _check_patch(response, patch, mutating=mutating)
    return Verdict(
        allowed=response.get("allowed") is True,
        status=response.get("status") or {},
        patch=patch if mutating else b"",
        warnings=[text for text in response.get("warnings") or () if isinstance(text, str)],
        audit_annotations=response.get("auditAnnotations") or {},
    )


def _check_identity(answer: Obj, response: Obj, uid: str) -> None:
    said = response.get("uid") or ""
    if said != uid:
        raise InvalidAnswer(f'expected response.uid="{uid}", got "{said}"')
    api_version, kind = str(answer.get("apiVersion") or ""), str(answer.get("kind") or "")
    if (api_version, kind) != (f"{_GROUP}/v1", "AdmissionReview"):
        raise InvalidAnswer(
            f"expected webhook response of {_GROUP}/v1, Kind=AdmissionReview, got "
            f"{api_version}, Kind={kind}"
        )


def _patch_of(response: Obj) -> bytes:
    text = response.get("patch") or ""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise InvalidAnswer("illegal base64 data in response.patch") from None


def _check_patch(response: Obj, patch: bytes, *, mutating: bool) -> None:
    type_ = response.get("patchType")
    if not mutating:
        if patch:
            raise InvalidAnswer("validating webhook may not return response.patch")
        if type_ is not None:
            raise InvalidAnswer("validating webhook may not return response.patchType")
        return
    if patch and type_ is None:
        raise InvalidAnswer("webhook returned response.patch but not response.patchType")
    if not patch and type_ is not None:
        raise InvalidAnswer("webhook returned response.patchType but not response.patch")
    if patch and type_ != "JSONPatch":
        raise InvalidAnswer(f"invalid value of Patch Type {type_!r}".replace("'", '"'))


def operations_of(patch: bytes) -> Any:
    """The operations of a patch. Raises ValueError."""
    return orjson.loads(patch) or []


def refusal(name: str, status: Obj) -> ApiError:
    """The error that a webhook's refusal is, always a failure and always with a message."""
    denied = f'admission webhook "{name}" denied the request'
    if status.get("message"):
        message = f"{denied}: {status['message']}"
    elif status.get("reason"):
        message = f"{denied}: {status['reason']}"
    else:
        message = f"{denied} without explanation"
    code = status.get("code")
    if not isinstance(code, int) or code < _BAD_REQUEST:
        code = _BAD_REQUEST
    error = from_status({**status, "message": message, "code": code})
    error.stated_reason = str(status.get("reason") or "")
    return error
