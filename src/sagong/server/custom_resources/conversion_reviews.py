"""ConversionReview: the question to a conversion webhook and what its answer must keep to. Pure.

Source of semantics: apiextensions' ``pkg/apiserver/conversion/webhook_converter.go``.
"""

from collections.abc import Sequence

from sagong.api.types import Obj

VERSIONS = ("v1", "v1beta1")
_GROUP = "apiextensions.k8s.io"
_IDENTITY = (("name", "name"), ("namespace", "namespace"), ("uid", "UID"))


class BadConversion(Exception):
    """A webhook's answer cannot be used; the text is upstream's."""


def version_of(accepted: Sequence[str]) -> str:
    """The first version that a webhook accepts and we know. Raises BadConversion."""
    for version in accepted:
        if version in VERSIONS:
            return version
    raise BadConversion("no supported conversion review versions")


def question(objects: Sequence[Obj], api_version: str, *, uid: str, version: str) -> Obj:
    return {
        "kind": "ConversionReview",
        "apiVersion": f"{_GROUP}/{version}",
        "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": list(objects)},
    }


def answered(answer: Obj, *, uid: str, version: str) -> Sequence[Obj]:
    """The converted objects. Raises BadConversion."""
    response = answer.get("response")
    if not isinstance(response, dict):
        raise BadConversion("no response provided")
    if version == "v1":
        said = f"{answer.get('apiVersion') or ''}, Kind={answer.get('kind') or ''}"
        wanted = f"{_GROUP}/v1, Kind=ConversionReview"
        if said != wanted:
            raise BadConversion(f"expected webhook response of {wanted}, got {said}")
        if response.get("uid") != uid:
            given = response.get("uid") or ""
            raise BadConversion(f'expected response.uid="{uid}", got "{given}"')
    result = response.get("result") or {}
    if result.get("status") != "Success":
        message = result.get("message")
        status = result.get("status") or ""
        raise BadConversion(message or f"response.result.status was '{status}', not 'Success'")
    return response.get("convertedObjects") or ()


def checked(original: Obj, converted: object, api_version: str, where: str) -> Obj:
    """A converted object with the metadata that it must have. Raises BadConversion.

    Only labels and annotations are the webhook's to change; ``where`` is "" or " at index 3".
    """
    bad = f"returned invalid converted object{where}"
    if not isinstance(converted, dict):
        raise BadConversion(f"{bad}: not an object")
    said = converted.get("apiVersion") or ""
    if said != api_version:
        raise BadConversion(
            f"{bad}: invalid groupVersion (expected {api_version}, received {said})"
        )
    kind = converted.get("kind") or ""
    if kind != original["kind"]:
        raise BadConversion(f"{bad}: invalid kind (expected {original['kind']}, received {kind})")
    metadata = converted.get("metadata")
    if not isinstance(metadata, dict):
        raise BadConversion(f"{bad}: missing metadata in converted object")
    for field, shown in _IDENTITY:
        was, is_ = original["metadata"].get(field) or "", metadata.get(field) or ""
        if was != is_:
            raise BadConversion(f"{bad}: must have the same {shown}: {was} != {is_}")
    return {**converted, "metadata": _kept(original["metadata"], metadata, where)}


def _kept(original: Obj, converted: Obj, where: str) -> Obj:
    kept = {k: v for k, v in original.items() if k not in ("labels", "annotations")}
    for field in ("labels", "annotations"):
        found = converted.get(field)
        if found is None:
            continue
        is_text = isinstance(found, dict) and all(isinstance(v, str) for v in found.values())
        if not is_text:
            place = f" in object{where}" if where else ""
            raise BadConversion(f"returned invalid metadata{place}: metadata.{field} is no map")
        kept[field] = found
    return kept
