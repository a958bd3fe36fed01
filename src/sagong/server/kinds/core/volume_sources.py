"""Validation of the volume sources that pods and persistent volumes have in common."""

import re
from collections.abc import Callable, Mapping

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks

_Validate = Callable[[Obj, Path, ErrorList], None]
_ISCSI_NAMES = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([-a-z0-9.]+)(:([^,;*&$|\s]+))?", re.ASCII),
    "eui": re.compile(r"eui\.[0-9A-Fa-f]{16}"),
    "naa": re.compile(r"naa\.[0-9A-Fa-f]{32}"),
}
# How the URI of a disk begins, and its form as upstream words it.
_AZURE_MANAGED = (
    "/subscriptions/",
    "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/"
    "{disk-id}",
)
_AZURE_BLOB = (
    "https://",
    "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",
)
_RESERVED_OPTIONS = (".kubernetes.io", ".k8s.io")
_HOST_PATH_TYPES = (
    *("", "BlockDevice", "CharDevice", "Directory"),
    *("DirectoryOrCreate", "File", "FileOrCreate", "Socket"),
)


def no_steps_back(value: str, path: Path, errors: ErrorList) -> None:
    if ".." in value.split("/"):
        errors.invalid(path, value, "must not contain '..'")


def _needs(*fields: str) -> _Validate:
    """A source whose only rule is that these fields are set."""

    def validate(source: Obj, path: Path, errors: ErrorList) -> None:
        for field in fields:
            checks.required(source.get(field), path.child(field), errors)

    return validate


def _host_path(source: Obj, path: Path, errors: ErrorList) -> None:
    value = source.get("path") or ""
    if not checks.required(value, path.child("path"), errors):
        return
    no_steps_back(value, path.child("path"), errors)
    if source.get("type") is not None:
        checks.one_of(source["type"], _HOST_PATH_TYPES, path.child("type"), errors)


def _partitioned(field: str) -> _Validate:
    def validate(source: Obj, path: Path, errors: ErrorList) -> None:
        checks.required(source.get(field), path.child(field), errors)
        partition = source.get("partition") or 0
        if not 0 <= partition <= 255:
            message = "must be between 0 and 255, inclusive"
            errors.invalid(path.child("partition"), partition, message)

    return validate


def _nfs(source: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(source.get("server"), path.child("server"), errors)
    value = source.get("path") or ""
    checks.required(value, path.child("path"), errors)
    if not value.startswith("/"):
        errors.invalid(path.child("path"), value, "must be an absolute path")


def _iscsi(source: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(source.get("targetPortal"), path.child("targetPortal"), errors)
    iqn = source.get("iqn") or ""
    if checks.required(iqn, path.child("iqn"), errors):
        _iscsi_name(iqn, path.child("iqn"), errors)
    lun = source.get("lun") or 0
    if not 0 <= lun <= 255:
        errors.invalid(path.child("lun"), lun, "must be between 0 and 255, inclusive")
    asks = source.get("chapAuthDiscovery") or source.get("chapAuthSession")
    if asks and source.get("secretRef") is None:
        errors.required(path.child("secretRef"))
    if source.get("initiatorName") is not None:
        _iscsi_name(source["initiatorName"], path.child("initiatorname"), errors)


def _iscsi_name(name: str, path: Path, errors: ErrorList) -> None:
    form = _ISCSI_NAMES.get(name[:3])
    if form is None:
        errors.invalid(path, name, "must be valid format starting with iqn, eui, or naa")
    elif not form.fullmatch(name):
        errors.invalid(path, name, "must be valid format")


def _rbd(source: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(source.get("monitors"), path.child("monitors"), errors)
    checks.required(source.get("image"), path.child("image"), errors)


def _flocker(source: Obj, path: Path, errors: ErrorList) -> None:
    name, uuid = source.get("datasetName"), source.get("datasetUUID")
    if not name and not uuid:
        errors.required(path, "one of datasetName and datasetUUID is required")
    if name and uuid:
        message = "datasetName and datasetUUID can not be specified simultaneously"
        errors.invalid(path, "resource", message)
    if name and "/" in name:
        errors.invalid(path.child("datasetName"), name, "must not contain '/'")


def _fc(source: Obj, path: Path, errors: ErrorList) -> None:
    targets, wwids = source.get("targetWWNs"), source.get("wwids")
    if not targets and not wwids:
        errors.required(
            path.child("targetWWNs"), "must specify either targetWWNs or wwids, but not both"
        )
    if targets and wwids:
        message = "targetWWNs and wwids can not be specified simultaneously"
        errors.invalid(path.child("targetWWNs"), targets, message)
    if targets:
        lun = source.get("lun")
        if lun is None:
            errors.required(path.child("lun"), "lun is required if targetWWNs is specified")
        elif not 0 <= lun <= 255:
            errors.invalid(path.child("lun"), lun, "must be between 0 and 255, inclusive")


def _azure_disk(source: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(source.get("diskName"), path.child("diskName"), errors)
    checks.required(source.get("diskURI"), path.child("diskURI"), errors)
    caching = source.get("cachingMode")
    if caching is not None:
        modes = ("None", "ReadOnly", "ReadWrite")
        checks.one_of(caching, modes, path.child("cachingMode"), errors)
    kind = source.get("kind")
    if kind is not None:
        checks.one_of(kind, ("Dedicated", "Managed", "Shared"), path.child("kind"), errors)
        uri = source.get("diskURI") or ""
        begin, form = _AZURE_MANAGED if kind == "Managed" else _AZURE_BLOB
        if not uri.startswith(begin):
            errors.not_supported(path.child("diskURI"), uri, [form])


def _quobyte(source: Obj, path: Path, errors: ErrorList) -> None:
    registry, pairs = source.get("registry") or "", "must be a host:port pair or multiple pairs"
    message = f"{pairs} separated by commas"
    if not registry:
        errors.required(path.child("registry"), message)
    elif len(source.get("tenant") or "") > 64:
        why = "must be a UUID and may not exceed a length of 64 characters"
        errors.required(path.child("tenant"), why)
    elif not all(pair.count(":") == 1 for pair in registry.split(",")):
        errors.invalid(path.child("registry"), registry, message)
    checks.required(source.get("volume"), path.child("volume"), errors)


def _flex_volume(source: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(source.get("driver"), path.child("driver"), errors)
    for key in source.get("options") or {}:
        if ("." + key.partition("/")[0].lower()).endswith(_RESERVED_OPTIONS):
            message = "kubernetes.io and k8s.io namespaces are reserved"
            errors.invalid(path.child("options").key(key), key, message)


def _cinder(source: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(source.get("volumeID"), path.child("volumeID"), errors)
    _named_secret(source, path, errors)


def _named_secret(source: Obj, path: Path, errors: ErrorList) -> None:
    if source.get("secretRef") is not None:
        name = source["secretRef"].get("name")
        checks.required(name, path.child("secretRef", "name"), errors)


def _storageos(source: Obj, path: Path, errors: ErrorList) -> None:
    if checks.required(source.get("volumeName"), path.child("volumeName"), errors):
        checks.dns_label(source["volumeName"], path.child("volumeName"), errors)
    if source.get("volumeNamespace"):
        checks.dns_label(source["volumeNamespace"], path.child("volumeNamespace"), errors)
    _named_secret(source, path, errors)


def _local(source: Obj, path: Path, errors: ErrorList) -> None:
    value = source.get("path") or ""
    if checks.required(value, path.child("path"), errors):
        no_steps_back(value, path.child("path"), errors)


SHARED_SOURCES: Mapping[str, _Validate] = {
    "hostPath": _host_path,
    "gcePersistentDisk": _partitioned("pdName"),
    "awsElasticBlockStore": _partitioned("volumeID"),
    "nfs": _nfs,
    "iscsi": _iscsi,
    "glusterfs": _needs("endpoints", "path"),
    "flocker": _flocker,
    "rbd": _rbd,
    "cinder": _cinder,
    "cephfs": _needs("monitors"),
    "quobyte": _quobyte,
    "fc": _fc,
    "flexVolume": _flex_volume,
    "azureFile": _needs("secretName", "shareName"),
    "vsphereVolume": _needs("volumePath"),
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "azureDisk": _azure_disk,
    "storageos": _storageos,
    "scaleIO": _needs("gateway", "system", "volumeName"),
    "local": _local,
}
