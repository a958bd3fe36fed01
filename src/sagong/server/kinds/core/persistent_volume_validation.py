"""Validation of persistent volumes and of changes to claims."""

from sagong.api.meta import deep_copy
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.claim_spec import (
    VOLUME_MODES,
    validate_access_modes,
    validate_claim_spec,
)
from sagong.server.kinds.core.pod_scheduling import validate_node_selector
from sagong.server.kinds.core.pod_volumes import MISNAMED, MISNAMED_AGAIN, validate_csi_driver_name
from sagong.server.kinds.core.volume_sources import SHARED_SOURCES

_SPEC = Path("spec")
_CSI_SECRETS = (
    *("controllerPublishSecretRef", "controllerExpandSecretRef"),
    *("nodePublishSecretRef", "nodeExpandSecretRef"),
)
_INLINE = "in the context of inline volumes"
_RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")


def validate_volume(volume: Obj, errors: ErrorList) -> None:
    spec, path = volume["spec"], _SPEC
    _validate_modes(spec, path, errors)
    capacity, where = spec.get("capacity") or {}, path.child("capacity")
    checks.required(capacity, where, errors)
    if "storage" not in capacity or len(capacity) > 1:
        errors.not_supported(where, spec.get("capacity"), ["storage"])
    for name, value in capacity.items():
        checks.positive_quantity(value, where.key(name), errors)
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy:
        at = path.child("persistentVolumeReclaimPolicy")
        checks.one_of(policy, _RECLAIM_POLICIES, at, errors)
    _validate_affinity(spec, path, errors)
    _validate_source(spec, path, errors)
    if spec.get("storageClassName"):
        checks.dns_subdomain(spec["storageClassName"], path.child("storageClassName"), errors)
    if spec.get("volumeMode") is not None:
        checks.one_of(spec["volumeMode"], VOLUME_MODES, path.child("volumeMode"), errors)
    _validate_attributes_class(spec, path, errors)


def validate_inline_volume(spec: Obj, path: Path, errors: ErrorList) -> None:
    """The spec of a volume that has no object of its own, in a VolumeAttachment."""
    for field in ("claimRef", "capacity"):
        if spec.get(field):
            errors.forbidden(path.child(field), f"may not be specified {_INLINE}")
    if spec.get("csi") is None:
        errors.required(path.child("csi"), f"has to be specified {_INLINE}")
    _validate_modes(spec, path, errors)
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy and policy != "Retain":
        where = path.child("persistentVolumeReclaimPolicy")
        errors.forbidden(where, f"may only be Retain {_INLINE}")
    if spec.get("nodeAffinity") is not None:
        errors.forbidden(path.child("nodeAffinity"), f"may not be specified {_INLINE}")
    _validate_source(spec, path, errors)
    if spec.get("storageClassName"):
        errors.forbidden(path.child("storageClassName"), f"may not be specified {_INLINE}")
    if spec.get("volumeMode") not in (None, "Filesystem"):
        message = f"may not specify volumeMode other than Filesystem {_INLINE}"
        errors.forbidden(path.child("volumeMode"), message)


def _validate_modes(spec: Obj, path: Path, errors: ErrorList) -> None:
    modes, where = spec.get("accessModes") or [], path.child("accessModes")
    checks.required(modes, where, errors)
    validate_access_modes(modes, where, errors)


def _validate_affinity(spec: Obj, path: Path, errors: ErrorList) -> None:
    affinity, where = spec.get("nodeAffinity"), path.child("nodeAffinity")
    if affinity is None:
        if spec.get("local") is not None:
            errors.required(where, "Local volume requires node affinity")
        return
    if affinity.get("required") is None:
        errors.required(where.child("required"), "must specify required node constraints")
    else:
        validate_node_selector(affinity["required"], where.child("required"), errors)


def _validate_source(spec: Obj, path: Path, errors: ErrorList) -> None:
    count = 0
    for name in (*SHARED_SOURCES, "csi"):
        source = spec.get(name)
        if source is None:
            continue
        count += 1
        if count > 1:
            at = path.child(MISNAMED_AGAIN.get(name, name))
            errors.forbidden(at, "may not specify more than 1 volume type")
            continue
        at = path.child(MISNAMED.get(name, name))
        if name == "csi":
            _validate_csi(source, at, errors)
        else:
            SHARED_SOURCES[name](source, at, errors)
            _validate_secret(name, source, at, errors)
    if count == 0:
        errors.required(path, "must specify a volume type")
    recycled = spec.get("persistentVolumeReclaimPolicy") == "Recycle"
    host = spec.get("hostPath")
    if recycled and host is not None and (host.get("path") or "").strip("/") == "":
        message = "may not be 'recycle' for a hostPath mount of '/'"
        errors.forbidden(path.child("persistentVolumeReclaimPolicy"), message)


def _validate_csi(source: Obj, path: Path, errors: ErrorList) -> None:
    validate_csi_driver_name(source.get("driver") or "", path.child("driver"), errors)
    checks.required(source.get("volumeHandle"), path.child("volumeHandle"), errors)
    for field in _CSI_SECRETS:
        if source.get(field) is None:
            continue
        at, secret = path.child(field), source[field]
        if checks.required(secret.get("name"), at.child("name"), errors):
            checks.dns_subdomain(secret["name"], at.child("name"), errors)
        if checks.required(secret.get("namespace"), at.child("namespace"), errors):
            checks.dns_label(secret["namespace"], at.child("namespace"), errors)


def _validate_secret(name: str, source: Obj, path: Path, errors: ErrorList) -> None:
    """Unlike a pod's, a volume's reference to a secret may need the namespace."""
    secret = source.get("secretRef")
    if name in ("cinder", "storageos") and secret is not None:
        checks.required(secret.get("namespace"), path.child("secretRef", "namespace"), errors)
    if name == "azureFile" and source.get("secretNamespace") == "":
        errors.required(path.child("secretNamespace"))


def _validate_attributes_class(spec: Obj, path: Path, errors: ErrorList) -> None:
    name, where = spec.get("volumeAttributesClassName"), path.child("volumeAttributesClassName")
    if name is None:
        return
    if checks.required(name, where, errors, "an empty string is disallowed"):
        checks.dns_subdomain(name, where, errors)
    if spec.get("csi") is None:
        message = "has to be specified when using volumeAttributesClassName"
        errors.required(path.child("csi"), message)


def validate_volume_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    ours, theirs = new["spec"], old["spec"]
    sources = (*SHARED_SOURCES, "csi")
    if any(ours.get(name) != theirs.get(name) for name in sources):
        message = "spec.persistentvolumesource is immutable after creation\n"
        errors.forbidden(_SPEC.child("persistentvolumesource"), message)
    # Upstream's paths of these two begin without the spec.
    checks.unchanged(ours.get("volumeMode"), theirs.get("volumeMode"), Path("volumeMode"), errors)
    if theirs.get("nodeAffinity") is not None:
        checks.unchanged(
            ours.get("nodeAffinity"), theirs["nodeAffinity"], Path("nodeAffinity"), errors
        )


def validate_claim(claim: Obj, errors: ErrorList) -> None:
    validate_claim_spec(claim["spec"], _SPEC, errors)


def validate_claim_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """A claim may be bound once, given its default class once, and made larger when bound."""
    ours: Obj = deep_copy(new["spec"])
    theirs = old["spec"]
    if not theirs.get("volumeName"):
        _restore(ours, theirs, "volumeName")
    if theirs.get("storageClassName") is None:
        _restore(ours, theirs, "storageClassName")
    if (new.get("status") or {}).get("phase") == "Bound":
        _restore(ours, theirs, "volumeAttributesClassName")
        _validate_growth(ours, theirs, old, errors)
        ours["resources"] = {**(ours.get("resources") or {})}
        _restore(ours["resources"], theirs.get("resources") or {}, "requests")
    if ours != theirs:
        message = (
            "spec is immutable after creation except resources.requests and "
            "volumeAttributesClassName for bound claims\n"
        )
        errors.forbidden(_SPEC, message)
    checks.unchanged(
        new["spec"].get("volumeMode"),
        theirs.get("volumeMode"),
        Path("volumeMode"),
        errors,
    )


def _validate_growth(ours: Obj, theirs: Obj, old: Obj, errors: ErrorList) -> None:
    asked = ((ours.get("resources") or {}).get("requests") or {}).get("storage")
    before = ((theirs.get("resources") or {}).get("requests") or {}).get("storage")
    capacity = ((old.get("status") or {}).get("capacity") or {}).get("storage")
    if asked is None or before is None:
        return
    less_than_before = checks.quantity(asked).nano < checks.quantity(before).nano
    has = capacity is not None and checks.quantity(asked).nano > checks.quantity(capacity).nano
    if less_than_before and not has:
        where = _SPEC.child("resources", "requests", "storage")
        errors.forbidden(where, "field can not be less than status.capacity")


def _restore(target: Obj, source: Obj, field: str) -> None:
    if field in source:
        target[field] = source[field]
    else:
        target.pop(field, None)
