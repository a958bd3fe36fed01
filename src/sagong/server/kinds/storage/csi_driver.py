"""CSI drivers."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_volumes import validate_csi_driver_name
from sagong.server.kinds.strategy import Strategy


def default(driver: Obj) -> None:
    spec = driver.setdefault("spec", {})
    for name, value in (
        ("attachRequired", True),
        ("podInfoOnMount", False),
        ("storageCapacity", False),
        ("fsGroupPolicy", "ReadWriteOnceWithFSType"),
        ("requiresRepublish", False),
        ("seLinuxMount", False),
    ):
        if spec.get(name) is None:
            spec[name] = value
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def validate(driver: Obj, errors: ErrorList) -> None:
    name = driver["metadata"].get("name") or ""
    validate_csi_driver_name(name, Path("metadata").child("name"), errors)
    spec, path = driver["spec"], Path("spec")
    policies = ("File", "None", "ReadWriteOnceWithFSType")
    checks.one_of(spec.get("fsGroupPolicy"), policies, path.child("fsGroupPolicy"), errors)
    for mode in spec.get("volumeLifecycleModes") or ():
        modes = ("Ephemeral", "Persistent")
        checks.one_of(mode, modes, path.child("volumeLifecycleModes"), errors)
    audiences: set[str] = set()
    for i, request in enumerate(spec.get("tokenRequests") or ()):
        at = path.child("tokenRequests").index(i)
        audience, seconds = request.get("audience") or "", request.get("expirationSeconds")
        if audience in audiences:
            errors.duplicate(at.child("audience"), audience)
        audiences.add(audience)
        if seconds is not None and seconds < 600:
            message = "may not specify a duration less than 10 minutes"
            errors.invalid(at.child("expirationSeconds"), seconds, message)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    for field in ("attachRequired", "volumeLifecycleModes"):
        where = Path("spec").child(field)
        checks.unchanged(new["spec"].get(field), old["spec"].get(field), where, errors)


STRATEGY = Strategy(
    validate=validate, validate_update=validate_update, default=default, has_status=False
)
