"""Validation of PersistentVolumeClaimSpec, in claims, stateful sets and ephemeral volumes."""

from collections.abc import Sequence

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.selectors import validate_label_selector

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def validate_access_modes(modes: Sequence[str], path: Path, errors: ErrorList) -> None:
    """Each mode is known, and ReadWriteOncePod stands alone."""
    for mode in modes:
        checks.one_of(mode, ACCESS_MODES, path, errors)
    if "ReadWriteOncePod" in modes and set(modes) & {*ACCESS_MODES[:3]}:
        message = "may not use ReadWriteOncePod with other access modes"
        errors.forbidden(path, message)


def validate_claim_spec(spec: Obj, path: Path, errors: ErrorList) -> None:
    modes = spec.get("accessModes") or []
    if not modes:
        errors.required(path.child("accessModes"), "at least 1 access mode is required")
    validate_label_selector(spec.get("selector"), path.child("selector"), errors)
    validate_access_modes(modes, path.child("accessModes"), errors)
    requests = (spec.get("resources") or {}).get("requests") or {}
    if requests.get("storage") is None:
        errors.required(path.child("resources").key("storage"))
    else:
        where = path.child("resources").key("storage")
        checks.positive_quantity(requests["storage"], where, errors)
    if spec.get("storageClassName"):
        checks.dns_subdomain(spec["storageClassName"], path.child("storageClassName"), errors)
    if spec.get("volumeMode") is not None:
        checks.one_of(spec["volumeMode"], VOLUME_MODES, path.child("volumeMode"), errors)
    _validate_sources(spec, path, errors)
    if spec.get("volumeAttributesClassName"):
        where = path.child("volumeAttributesClassName")
        checks.dns_subdomain(spec["volumeAttributesClassName"], where, errors)


def _validate_sources(spec: Obj, path: Path, errors: ErrorList) -> None:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    for field, value in (("dataSource", source), ("dataSourceRef", reference)):
        if value is not None:
            _validate_source(value, path.child(field), errors)
    if reference is not None and reference.get("namespace"):
        where = path.child("dataSourceRef", "namespace")
        checks.dns_label(reference["namespace"], where, errors)
        if source is not None:
            message = "may not be specified when dataSourceRef.namespace is specified"
            errors.invalid(path, {}, message)  # upstream shows a path, which has no JSON
    elif source is not None and reference is not None and source != reference:
        message = "must match dataSourceRef"
        errors.invalid(path, {}, message)  # upstream shows a path, which has no JSON


def _validate_source(source: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(source.get("name"), path.child("name"), errors)
    checks.required(source.get("kind"), path.child("kind"), errors)
    group = source.get("apiGroup") or ""
    if not group and source.get("kind") != "PersistentVolumeClaim":
        message = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errors.invalid(path, source.get("kind") or "", message)
    if group:
        checks.dns_subdomain(group, path.child("apiGroup"), errors)
