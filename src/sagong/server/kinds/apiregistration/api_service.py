"""API services: who serves a group and version."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    service = obj.setdefault("spec", {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443
    obj.setdefault("status", {})


def prepare_for_create(obj: Obj) -> None:
    """Locally served groups are available from the start."""
    obj["status"] = {}
    if obj["spec"].get("service") is None:
        obj["status"]["conditions"] = [
            {
                "type": "Available",
                "status": "True",
                "reason": "Local",
                "message": "Local APIServices are always available",
                "lastTransitionTime": obj["metadata"].get("creationTimestamp"),
            }
        ]


_SPEC = Path("spec")


def validate(obj: Obj, errors: ErrorList) -> None:
    spec = obj["spec"]
    name, version = obj["metadata"].get("name") or "", spec.get("version") or ""
    group = spec.get("group") or ""
    required = f"{version}.{group}"
    if name != required:
        message = f'must be `spec.version+"."+spec.group`: {required!r}'.replace("'", '"')
        errors.invalid(Path("metadata").child("name"), name, message)
    if not group and version != "v1":
        message = "only v1 may have an empty group and it better be legacy kube"
        errors.required(_SPEC.child("group"), message)
    if group:
        checks.dns_subdomain(group, _SPEC.child("group"), errors)
    checks.dns_label_1035(version, _SPEC.child("version"), errors)
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if not 0 < value <= most:
            message = f"must be positive and less than {most}"
            errors.invalid(_SPEC.child(field), value, message)
    _validate_service(spec, errors)


def _validate_service(spec: Obj, errors: ErrorList) -> None:
    service = spec.get("service")
    if service is None:
        if spec.get("caBundle"):
            message = "local APIServices may not have a caBundle"
            errors.invalid(_SPEC.child("caBundle"), spec["caBundle"], message)
        if spec.get("insecureSkipTLSVerify"):
            message = "local APIServices may not have insecureSkipTLSVerify"
            errors.invalid(_SPEC.child("insecureSkipTLSVerify"), True, message)
        return
    path = _SPEC.child("service")
    for field in ("namespace", "name"):
        checks.required(service.get(field), path.child(field), errors)
    port = service.get("port", 443)
    if not 1 <= port <= 65535:
        message = "port is not valid: must be between 1 and 65535, inclusive"
        errors.invalid(path.child("port"), port, message)
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        message = "may not be true if caBundle is present"
        errors.invalid(_SPEC.child("insecureSkipTLSVerify"), True, message)


def validate_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    path = Path("status").child("conditions")
    for i, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        where = path.index(i).child("status")
        checks.one_of(condition.get("status") or "", ("True", "False", "Unknown"), where, errors)


STRATEGY = Strategy(
    validate=validate,
    validate_status_update=validate_status_update,
    default=default,
    prepare_for_create=prepare_for_create,
    name_rule="path-segment",
    unconditional_update=False,
)
