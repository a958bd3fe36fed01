"""Validation of what all objects have, and the order in which an object's checks run.

Source of semantics: apimachinery ``api/validation/objectmeta.go`` and apiserver's
``registry/rest`` (BeforeCreate, BeforeUpdate), of whose repetitions the causes of an update tell.
"""

from collections.abc import Sequence

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.strategy import Strategy

METADATA = Path("metadata")
ANNOTATION_BYTES_MAX = 256 * 1024
_NAME_RULES = {
    "subdomain": names.dns1123_subdomain,
    "label": names.dns1123_label,
    "label1035": names.dns1035_label,
    "path-segment": names.path_segment_name,
}
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")


def validate_create(
    obj: Obj, strategy: Strategy, *, namespaced: bool, custom: bool = False
) -> ErrorList:
    """Everything wrong with a new object; ``custom`` is a custom resource's."""
    errors = ErrorList()
    validate_object_meta(
        obj, namespaced=namespaced, name_rule=strategy.name_rule, errors=errors, custom=custom
    )
    strategy.validate(obj, errors)
    return errors


def validate_update(
    new: Obj, old: Obj, strategy: Strategy, *, namespaced: bool, custom: bool = False
) -> ErrorList:
    """Everything wrong with an update of the main resource, repeated where upstream repeats."""
    errors = ErrorList()
    validate_object_meta(
        new, namespaced=namespaced, name_rule="path-segment", errors=errors, custom=True
    )
    validate_object_meta_update(new, old, errors)
    if strategy.validates_on_update:
        validate_object_meta(
            new, namespaced=namespaced, name_rule=strategy.name_rule, errors=errors, custom=custom
        )
        strategy.validate(new, errors)
    validate_object_meta_update(new, old, errors)
    strategy.validate_update(new, old, errors)
    return errors


def validate_status_update(
    new: Obj, old: Obj, strategy: Strategy, *, namespaced: bool
) -> ErrorList:
    """Everything wrong with an update of ``/status``."""
    errors = ErrorList()
    validate_object_meta(
        new, namespaced=namespaced, name_rule="path-segment", errors=errors, custom=True
    )
    validate_object_meta_update(new, old, errors)
    validate_object_meta_update(new, old, errors)
    strategy.validate_status_update(new, old, errors)
    return errors


def validate_object_meta(
    obj: Obj, *, namespaced: bool, name_rule: str, errors: ErrorList, custom: bool = False
) -> None:
    """Names, labels, annotations, owners, finalizers. Custom resources take any finalizer."""
    meta = obj["metadata"]
    _validate_names(meta, name_rule, errors)
    namespace = meta.get("namespace") or ""
    if namespaced:
        if not namespace:
            errors.required(METADATA.child("namespace"))
        else:
            checks.dns_label(namespace, METADATA.child("namespace"), errors)
    elif namespace:
        errors.forbidden(METADATA.child("namespace"), "not allowed on this type")
    checks.not_negative(meta.get("generation"), METADATA.child("generation"), errors)
    _validate_maps_and_owners(meta, errors)
    _validate_finalizers(meta.get("finalizers") or (), custom, errors)


def validate_template_meta(meta: Obj, path: Path, errors: ErrorList) -> None:
    """Labels, annotations and finalizers of a template of pods or claims."""
    checks.labels(meta.get("labels"), path.child("labels"), errors)
    validate_annotations(meta.get("annotations") or {}, path.child("annotations"), errors)


def _validate_names(meta: Obj, name_rule: str, errors: ErrorList) -> None:
    rule = _NAME_RULES[name_rule]
    prefix = meta.get("generateName") or ""
    if prefix:
        # A trailing dash is right here, because more follows.
        whole = prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix
        for message in rule(whole):
            errors.invalid(METADATA.child("generateName"), prefix, message)
    value = meta.get("name") or ""
    if not value:
        errors.required(METADATA.child("name"), "name or generateName is required")
    else:
        checks.name(value, rule, METADATA.child("name"), errors)


def _validate_maps_and_owners(meta: Obj, errors: ErrorList) -> None:
    checks.labels(meta.get("labels"), METADATA.child("labels"), errors)
    validate_annotations(meta.get("annotations") or {}, METADATA.child("annotations"), errors)
    _validate_owners(meta.get("ownerReferences") or (), errors)


def validate_annotations(annotations: Obj, path: Path, errors: ErrorList) -> None:
    """Keys, which are not case-sensitive here, and the size of all together in UTF-8."""
    size = 0
    for key, value in annotations.items():
        for message in names.qualified_name(key.lower()):
            errors.invalid(path, key, message)
        size += len(key.encode()) + len(str(value).encode())
    if size > ANNOTATION_BYTES_MAX:
        errors.too_long(path, ANNOTATION_BYTES_MAX)


def _validate_owners(owners: Sequence[Obj], errors: ErrorList) -> None:
    path = METADATA.child("ownerReferences")
    controller = ""
    for owner in owners:
        _validate_owner(owner, path, errors)
        if not owner.get("controller"):
            continue
        if controller:
            errors.invalid(
                path,
                list(owners),
                'Only one reference can have Controller set to true. Found "true" in references '
                f"for {controller} and {owner.get('name', '')}",
            )
        else:
            controller = owner.get("name", "")


def _validate_owner(owner: Obj, path: Path, errors: ErrorList) -> None:
    api_version, kind = owner.get("apiVersion") or "", owner.get("kind") or ""
    if not api_version:
        errors.invalid(path.child("apiVersion"), "", "version must not be empty")
    if not kind:
        errors.invalid(path.child("kind"), kind, "must not be empty")
    if not owner.get("name"):
        errors.invalid(path.child("name"), "", "must not be empty")
    if not owner.get("uid"):
        errors.invalid(path.child("uid"), "", "must not be empty")
    if (api_version, kind) == ("v1", "Event"):
        message = "/v1, Kind=Event is disallowed from being an owner"
        errors.invalid(path, owner, message)


def _validate_finalizers(finalizers: Sequence[str], custom: bool, errors: ErrorList) -> None:
    path = METADATA.child("finalizers")
    for finalizer in finalizers:
        checks.qualified_name(finalizer, path, errors)
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        message = "finalizer orphan and foregroundDeletion cannot be both set"
        errors.invalid(path, list(finalizers), message)
    if custom:
        return
    for i, finalizer in enumerate(finalizers):
        validate_kubernetes_finalizer(finalizer, path.index(i), errors)


def validate_kubernetes_finalizer(finalizer: str, path: Path, errors: ErrorList) -> None:
    """Unqualified names are reserved for Kubernetes itself."""
    if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
        message = "name is neither a standard finalizer name nor is it fully qualified"
        errors.invalid(path, finalizer, message)


def validate_object_meta_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """What no update may change (``ValidateObjectMetaAccessorUpdate``)."""
    ours, theirs = new["metadata"], old["metadata"]
    if theirs.get("deletionTimestamp"):
        known = set(theirs.get("finalizers") or ())
        added = sorted(set(ours.get("finalizers") or ()) - known)
        if added:
            shown = "[]string{" + ", ".join(f'"{f}"' for f in added) + "}"
            message = "no new finalizers can be added if the object is being deleted, "
            errors.forbidden(METADATA.child("finalizers"), f"{message}found new finalizers {shown}")
    generation = ours.get("generation") or 0
    if generation < (theirs.get("generation") or 0):
        errors.invalid(METADATA.child("generation"), generation, "must not be decremented")
    for field in ("name", "namespace", "uid"):
        checks.unchanged(
            ours.get(field) or "", theirs.get(field) or "", METADATA.child(field), errors
        )
    for field in ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        checks.unchanged(ours.get(field), theirs.get(field), METADATA.child(field), errors)
    _validate_maps_and_owners(ours, errors)
