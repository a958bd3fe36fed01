"""CSI drivers."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.strategy import Strategy

_UPDATE_PERIOD_SECONDS_MIN = 10


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
    spec, path = driver["spec"], Path("spec")
    policies = ("File", "None", "ReadWriteOnceWithFSType")
    checks.one_of(spec.get("fsGroupPolicy"), policies, path.child("fsGroupPolicy"), errors)
    for mode in spec.get("volumeLifecycleModes") or ():
        modes = ("Persistent", "Ephemeral")
        checks.one_of(mode, modes, path.child("volumeLifecycleModes"), errors)
    audiences: set[str] = set()
    for i, request in enumerate(spec.get("tokenRequests") or ()):
        at = path.child("tokenRequests").index(i)
        audience, seconds = request.get("audience") or "", request.get("expirationSeconds")
        if audience in audiences:
            errors.duplicate(at.child("audience"), audience)
            continue
        audiences.add(audience)
        if seconds is not None:
            _validate_duration(seconds, at.child("expirationSeconds"), errors)
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < _UPDATE_PERIOD_SECONDS_MIN:
        where = path.child("nodeAllocatableUpdatePeriodSeconds")
        message = f"must be greater than or equal to {_UPDATE_PERIOD_SECONDS_MIN} seconds"
        errors.invalid(where, period, message)
    in_secrets = spec.get("serviceAccountTokenInSecrets")
    if in_secrets is not None and not spec.get("tokenRequests"):
        where = path.child("serviceAccountTokenInSecrets")
        message = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        errors.invalid(where, in_secrets, message)


def _validate_duration(seconds: int, path: Path, errors: ErrorList) -> None:
    if seconds < 600:
        errors.invalid(path, seconds, "may not specify a duration less than 10 minutes")
    if seconds > 2**32:
        errors.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    for field, shown in (
        ("attachRequired", "attachedRequired"),  # upstream's path of it
        ("volumeLifecycleModes", "volumeLifecycleModes"),
    ):
        where = Path("spec").child(shown)
        checks.unchanged(new["spec"].get(field), old["spec"].get(field), where, errors)


def prepare_for_update(new: Obj, old: Obj) -> None:
    """Changes are counted, though a new driver has no generation yet."""
    if new["spec"] != old["spec"]:
        new["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1


STRATEGY = Strategy(
    validate=validate,
    validate_update=validate_update,
    default=default,
    prepare_for_update=prepare_for_update,
    has_status=False,
    unconditional_update=False,
)
