"""Volume attachments."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.persistent_volume_validation import validate_inline_volume
from sagong.server.kinds.core.pod_volumes import validate_csi_driver_name
from sagong.server.kinds.strategy import Strategy

_ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
_BYTES_MAX = 256 * 1024
_MESSAGE_BYTES_MAX = 1024


def default(obj: Obj) -> None:
    obj.setdefault("spec", {}).setdefault("source", {})
    obj.setdefault("status", {}).setdefault("attached", False)


def prepare_for_create(obj: Obj) -> None:
    obj["status"] = {"attached": False}


def validate(obj: Obj, errors: ErrorList) -> None:
    """What holds for new ones and for updates (upstream: ``ValidateVolumeAttachment``)."""
    spec, path = obj["spec"], Path("spec")
    checks.required(spec.get("attacher"), path.child("attacher"), errors)
    source, where = spec.get("source") or {}, path.child("source")
    given = checks.exactly_one(source, ("inlineVolumeSpec", "persistentVolumeName"))
    if not given:
        errors.required(where, _ONE_SOURCE)
    elif len(given) > 1:
        errors.forbidden(where, _ONE_SOURCE)
    elif given == ["persistentVolumeName"]:
        name, at = source["persistentVolumeName"], where.child("persistentVolumeName")
        checks.required(name, at, errors, "must specify non empty persistentVolumeName")
    else:
        inline = source["inlineVolumeSpec"]
        validate_inline_volume(inline, where.child("inlineVolumeSpec"), errors)
    checks.dns_subdomain(spec.get("nodeName") or "", path.child("nodeName"), errors)
    _validate_status(obj.get("status") or {}, Path("status"), errors)


def validate_new(obj: Obj, errors: ErrorList) -> None:
    validate(obj, errors)
    spec, path = obj["spec"], Path("spec")
    validate_csi_driver_name(spec.get("attacher") or "", path.child("attacher"), errors)
    name = (spec.get("source") or {}).get("persistentVolumeName")
    if name is not None:
        checks.dns_subdomain(name, path.child("source", "persistentVolumeName"), errors)


def _validate_status(status: Obj, path: Path, errors: ErrorList) -> None:
    metadata = status.get("attachmentMetadata") or {}
    if sum(len(k.encode()) + len(v.encode()) for k, v in metadata.items()) > _BYTES_MAX:
        errors.too_long(path.child("attachmentMetadata"), _BYTES_MAX)
    for field in ("attachError", "detachError"):
        problem, where = status.get(field) or {}, path.child(field)
        if len((problem.get("message") or "").encode()) > _MESSAGE_BYTES_MAX:
            errors.too_long(where.child("message"), _BYTES_MAX)  # the bound upstream names
        code = problem.get("errorCode")
        if code is not None and code < 0:
            message = f"must be between 0 and {checks.INT32_MAX}, inclusive"
            errors.invalid(where.child("errorCode"), code, message)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    for _ in range(2):  # as upstream, whose causes are there twice
        validate(new, errors)
    if new["spec"] != old["spec"]:
        spec = new["spec"]
        source = spec.get("source") or {}
        shown = {
            "Attacher": spec.get("attacher") or "",
            "Source": {
                "PersistentVolumeName": source.get("persistentVolumeName"),
                "InlineVolumeSpec": source.get("inlineVolumeSpec"),
            },
            "NodeName": spec.get("nodeName") or "",
        }
        errors.invalid(Path("spec"), shown, "field is immutable")


STRATEGY = Strategy(
    validate=validate_new,
    validate_update=validate_update,
    validates_on_update=False,
    validate_status_update=validate_update,
    unconditional_update=False,
    default=default,
    prepare_for_create=prepare_for_create,
)
