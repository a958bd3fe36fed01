"""Validation of the volume sources that pods and persistent volumes have in common."""

from collections.abc import Callable, Mapping

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks

_Validate = Callable[[Obj, Path, ErrorList], None]
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
    if checks.required(iqn, path.child("iqn"), errors) and not iqn.startswith(
        ("iqn.", "eui.", "naa.")
    ):
        errors.invalid(
            path.child("iqn"), iqn, "must be valid format starting with iqn, eui, or naa"
        )
    lun = source.get("lun") or 0
    if not 0 <= lun <= 255:
        errors.invalid(path.child("lun"), lun, "must be between 0 and 255, inclusive")
    asks = source.get("chapAuthDiscovery") or source.get("chapAuthSession")
    if asks and source.get("secretRef") is None:
        errors.required(path.child("secretRef"))


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
    "cinder": _needs("volumeID"),
    "cephfs": _needs("monitors"),
    "quobyte": _needs("registry", "volume"),
    "fc": _fc,
    "flexVolume": _needs("driver"),
    "azureFile": _needs("secretName", "shareName"),
    "vsphereVolume": _needs("volumePath"),
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "azureDisk": _azure_disk,
    "storageos": _needs("volumeName"),
    "scaleIO": _needs("gateway", "system", "volumeName"),
    "local": _local,
}
