"""Volume attachments."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_volumes import validate_csi_driver_name
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    obj.setdefault("spec", {}).setdefault("source", {})
    obj.setdefault("status", {}).setdefault("attached", False)


def prepare_for_create(obj: Obj) -> None:
    obj["status"] = {"attached": False}


def validate(obj: Obj, errors: ErrorList) -> None:
    spec, path = obj["spec"], Path("spec")
    validate_csi_driver_name(spec.get("attacher") or "", path.child("attacher"), errors)
    source, where = spec.get("source") or {}, path.child("source")
    given = checks.exactly_one(source, ("inlineVolumeSpec", "persistentVolumeName"))
    if not given:
        errors.required(
            where, "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        )
    elif len(given) > 1:
        errors.forbidden(
            where, "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        )
    elif given == ["persistentVolumeName"]:
        name = source["persistentVolumeName"]
        checks.required(name, where.child("persistentVolumeName"), errors)
    node = spec.get("nodeName") or ""
    checks.dns_subdomain(node, path.child("nodeName"), errors)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
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
    validate=validate,
    validate_update=validate_update,
    default=default,
    prepare_for_create=prepare_for_create,
)
