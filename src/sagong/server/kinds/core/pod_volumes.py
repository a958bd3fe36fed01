"""Validation of the volumes of a pod: exactly one source each, and that source's own rules."""

from collections.abc import Callable, Mapping, Sequence

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.claim_spec import validate_claim_spec
from sagong.server.kinds.core.field_references import (
    VOLUME_FIELDS,
    validate_field_reference,
    validate_resource_field_reference,
)
from sagong.server.kinds.core.volume_sources import SHARED_SOURCES, no_steps_back
from sagong.server.kinds.object_meta import validate_template_meta

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_TOKEN_SECONDS_MIN = 600
_TOKEN_SECONDS_MAX = 1 << 32
_Validate = Callable[[Obj, Path, ErrorList], None]


def validate_volumes(
    volumes: Sequence[Obj], path: Path, errors: ErrorList, *, pod_name: str = ""
) -> Mapping[str, Obj]:
    """Check all volumes; returns the valid ones by name, for the mounts to refer to."""
    found: dict[str, Obj] = {}
    made = {f"{pod_name}-{v.get('name')}" for v in volumes if v.get("ephemeral") is not None}
    for i, volume in enumerate(volumes):
        mine = ErrorList()
        _validate_source(volume, path.index(i), pod_name, mine)
        name = volume.get("name") or ""
        name_path = path.index(i).child("name")
        if not name:
            mine.required(name_path)
        else:
            checks.dns_label(name, name_path, mine)
        if name in found:
            mine.duplicate(name_path, name)
        if mine:
            errors.extend(mine)
        else:
            found[name] = volume
        _validate_claim_name(volume, path.index(i), made, errors)
    return found


def _validate_claim_name(volume: Obj, path: Path, made: set[str], errors: ErrorList) -> None:
    """An ephemeral volume's claim is called pod-volume; no other volume may use it."""
    claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
    if claim in made:
        message = "must not reference a PVC that gets created for an ephemeral volume"
        errors.invalid(path.child("persistentVolumeClaim", "claimName"), claim, message)


def _validate_source(volume: Obj, path: Path, pod_name: str, errors: ErrorList) -> None:
    count = 0
    for name, validate in _SOURCES.items():
        source = volume.get(name)
        if source is None:
            continue
        count += 1
        if count > 1:
            where = path.child(MISNAMED_AGAIN.get(name, name))
            errors.forbidden(where, "may not specify more than 1 volume type")
            continue
        validate(source, path.child(MISNAMED.get(name, name)), errors)
        if name == "ephemeral" and pod_name and volume.get("name"):
            claim = f"{pod_name}-{volume['name']}"
            for message in names.dns1123_subdomain(claim):
                why = f'PVC name "{claim}": {message}'
                errors.invalid(path.child("name"), volume["name"], why)
    if count == 0:
        errors.required(path, "must specify a volume type")


def _empty_dir(source: Obj, path: Path, errors: ErrorList) -> None:
    limit = source.get("sizeLimit")
    if limit is not None and checks.quantity(limit).nano < 0:
        errors.forbidden(
            path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity"
        )


def _git_repo(source: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(source.get("repository"), path.child("repository"), errors)
    relative_path(source.get("directory") or "", path.child("directory"), errors)


def _secret(source: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(source.get("secretName"), path.child("secretName"), errors)
    _validate_mode(source.get("defaultMode"), path.child("defaultMode"), errors)
    _validate_items(source, path, errors)


def _config_map(source: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(source.get("name"), path.child("name"), errors)
    _validate_mode(source.get("defaultMode"), path.child("defaultMode"), errors)
    _validate_items(source, path, errors)


def _claim(source: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(source.get("claimName"), path.child("claimName"), errors)


def _downward_api(source: Obj, path: Path, errors: ErrorList) -> None:
    _validate_mode(source.get("defaultMode"), path.child("defaultMode"), errors)
    for item in source.get("items") or ():
        _validate_downward_item(item, path, errors)


def _csi(source: Obj, path: Path, errors: ErrorList) -> None:
    validate_csi_driver_name(source.get("driver") or "", path.child("driver"), errors)
    secret = source.get("nodePublishSecretRef")
    if secret is None:
        return
    if not secret.get("name"):
        errors.required(path.child("nodePublishSecretRef", "name"))
    else:
        checks.dns_subdomain(secret["name"], path.child("name"), errors)


def validate_csi_driver_name(name: str, path: Path, errors: ErrorList) -> None:
    """A driver's name: a DNS subdomain in any case, of at most 63 characters."""
    if not name:
        errors.required(path)
        return
    if len(name) > 63:
        errors.too_long(path, 63)
    for message in names.dns1123_subdomain(name.lower()):
        errors.invalid(path, name, message)


def _ephemeral(source: Obj, path: Path, errors: ErrorList) -> None:
    template = source.get("volumeClaimTemplate")
    where = path.child("volumeClaimTemplate")
    if template is None:
        errors.required(where)
        return
    allowed = {"labels", "annotations"}
    validate_template_meta(template.get("metadata") or {}, where.child("metadata"), errors)
    for field in (template.get("metadata") or {}).keys() - allowed - {"creationTimestamp"}:
        errors.forbidden(where.child("metadata", field), "cannot be set")
    validate_claim_spec(template.get("spec") or {}, where.child("spec"), errors)


def _image(source: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(source.get("reference"), path.child("reference"), errors)
    policy = source.get("pullPolicy")
    if not policy:
        errors.required(path.child("pullPolicy"))
    else:
        checks.one_of(policy, PULL_POLICIES, path.child("pullPolicy"), errors)


def _projected(source: Obj, path: Path, errors: ErrorList) -> None:
    _validate_mode(source.get("defaultMode"), path.child("defaultMode"), errors)
    taken: set[str] = set()
    for i, projection in enumerate(source.get("sources") or ()):
        _validate_projection(projection, path.child("sources").index(i), path, taken, errors)


def _validate_projection(
    projection: Obj, at: Path, volume: Path, taken: set[str], errors: ErrorList
) -> None:
    """One source; paths must differ over all sources of the ``volume``."""
    given = [name for name in _PROJECTIONS if projection.get(name) is not None]
    for name in given:
        source = projection[name]
        if name == "serviceAccountToken":
            _token(source, at.child(name), volume, errors)
        else:
            _PROJECTIONS[name](source, at.child(name), errors)
        for path in _paths_of(name, source):
            if path in taken:
                shown = source.get("name") or "" if name in ("secret", "configMap") else path
                errors.invalid(volume, shown, "conflicting duplicate paths")
            taken.add(path)
    if len(given) > 1:
        errors.forbidden(at, "may not specify more than 1 volume type per source")


def _paths_of(name: str, source: Obj) -> list[str]:
    """The files that a source makes; a token's path may be taken, as far as upstream sees."""
    if name == "clusterTrustBundle":
        return [source.get("path") or ""]
    return [item["path"] for item in source.get("items") or () if item.get("path")]


def _named_items(source: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(source.get("name"), path.child("name"), errors)
    _validate_items(source, path, errors)


def _downward_items(source: Obj, path: Path, errors: ErrorList) -> None:
    for item in source.get("items") or ():
        _validate_downward_item(item, path, errors)


def _token(source: Obj, path: Path, volume: Path, errors: ErrorList) -> None:
    """A token; of its path upstream says that it is the ``volume``'s."""
    seconds = source.get("expirationSeconds") or 0
    where = path.child("expirationSeconds")
    if seconds < _TOKEN_SECONDS_MIN:
        errors.invalid(where, seconds, "may not specify a duration less than 10 minutes")
    if seconds > _TOKEN_SECONDS_MAX:
        errors.invalid(where, seconds, "may not specify a duration larger than 2^32 seconds")
    if not source.get("path"):
        errors.required(volume.child("path"))
    else:
        relative_path(source["path"], volume.child("path"), errors)


def _trust_bundle(source: Obj, path: Path, errors: ErrorList) -> None:
    by_name, by_signer = source.get("name"), source.get("signerName")
    if by_name and by_signer:
        errors.invalid(path, source, "only one of name and signerName may be used")
    if not by_name and not by_signer:
        errors.required(path, "either name or signerName must be specified")
    checks.required(source.get("path"), path.child("path"), errors)


def _pod_certificate(source: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(source.get("signerName"), path.child("signerName"), errors)


def _validate_items(source: Obj, path: Path, errors: ErrorList) -> None:
    for i, item in enumerate(source.get("items") or ()):
        at = path.child("items").index(i)
        checks.required(item.get("key"), at.child("key"), errors)
        if checks.required(item.get("path"), at.child("path"), errors):
            relative_path(item["path"], at.child("path"), errors)
        _validate_mode(item.get("mode"), at.child("mode"), errors)


def _validate_downward_item(item: Obj, path: Path, errors: ErrorList) -> None:
    if checks.required(item.get("path"), path.child("path"), errors):
        relative_path(item["path"], path.child("path"), errors)
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        validate_field_reference(field, VOLUME_FIELDS, path.child("fieldRef"), errors)
        if resource is not None:
            message = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.invalid(path, "resource", message)
    elif resource is not None:
        where = path.child("resourceFieldRef")
        validate_resource_field_reference(resource, where, errors, in_volume=True)
    else:
        errors.required(path, "one of fieldRef and resourceFieldRef is required")
    _validate_mode(item.get("mode"), path.child("mode"), errors)


def _validate_mode(mode: int | None, path: Path, errors: ErrorList) -> None:
    if mode is not None and not 0 <= mode <= 0o777:
        message = "must be a number between 0 and 0777 (octal), both inclusive"
        errors.invalid(path, mode, message)


def relative_path(value: str, path: Path, errors: ErrorList) -> None:
    """A path inside a volume: relative, without steps back, not starting with two dots."""
    relative_inside(value, path, errors)
    if value.startswith("..") and not value.startswith("../"):
        errors.invalid(path, value, "must not start with '..'")


def relative_inside(value: str, path: Path, errors: ErrorList) -> None:
    if value.startswith("/"):
        errors.invalid(path, value, "must be a relative path")
    no_steps_back(value, path, errors)


# Upstream's paths that are not the fields' names: of a source's own faults, of one too many.
MISNAMED = {"gcePersistentDisk": "persistentDisk"}
MISNAMED_AGAIN = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}

# In upstream's order: of two sources, the later one is the one refused.
_SOURCES: Mapping[str, _Validate] = {
    "emptyDir": _empty_dir,
    "hostPath": SHARED_SOURCES["hostPath"],
    "gitRepo": _git_repo,
    "gcePersistentDisk": SHARED_SOURCES["gcePersistentDisk"],
    "awsElasticBlockStore": SHARED_SOURCES["awsElasticBlockStore"],
    "secret": _secret,
    "nfs": SHARED_SOURCES["nfs"],
    "iscsi": SHARED_SOURCES["iscsi"],
    "glusterfs": SHARED_SOURCES["glusterfs"],
    "flocker": SHARED_SOURCES["flocker"],
    "persistentVolumeClaim": _claim,
    "rbd": SHARED_SOURCES["rbd"],
    "cinder": SHARED_SOURCES["cinder"],
    "cephfs": SHARED_SOURCES["cephfs"],
    "quobyte": SHARED_SOURCES["quobyte"],
    "downwardAPI": _downward_api,
    "fc": SHARED_SOURCES["fc"],
    "flexVolume": SHARED_SOURCES["flexVolume"],
    "configMap": _config_map,
    "azureFile": SHARED_SOURCES["azureFile"],
    "vsphereVolume": SHARED_SOURCES["vsphereVolume"],
    "photonPersistentDisk": SHARED_SOURCES["photonPersistentDisk"],
    "portworxVolume": SHARED_SOURCES["portworxVolume"],
    "azureDisk": SHARED_SOURCES["azureDisk"],
    "storageos": SHARED_SOURCES["storageos"],
    "projected": _projected,
    "scaleIO": SHARED_SOURCES["scaleIO"],
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}
_PROJECTIONS: Mapping[str, _Validate] = {
    "secret": _named_items,
    "configMap": _named_items,
    "downwardAPI": _downward_items,
    "serviceAccountToken": lambda source, path, errors: _token(source, path, path, errors),
    "clusterTrustBundle": _trust_bundle,
    "podCertificate": _pod_certificate,
}
