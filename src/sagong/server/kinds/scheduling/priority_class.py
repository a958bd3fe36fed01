"""Priority classes."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    obj.setdefault("value", 0)
    if obj.get("preemptionPolicy") is None:
        obj["preemptionPolicy"] = "PreemptLowerPriority"


HIGHEST_USER_PRIORITY = 1_000_000_000
_SYSTEM_PRIORITIES = {
    "system-cluster-critical": 2 * HIGHEST_USER_PRIORITY,
    "system-node-critical": 2 * HIGHEST_USER_PRIORITY + 1000,
}


def validate(obj: Obj, errors: ErrorList) -> None:
    name, value = obj["metadata"].get("name") or "", obj.get("value") or 0
    if name.startswith("system-"):
        why = _not_a_system_class(name, value, bool(obj.get("globalDefault")))
        if why:
            message = (
                "priority class names with 'system-' prefix are reserved for system use only. "
                f"error: {why}"
            )
            errors.forbidden(Path("metadata").child("name"), message)
    elif value > HIGHEST_USER_PRIORITY:
        message = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        errors.forbidden(Path("value"), message)
    policy = obj.get("preemptionPolicy")
    if policy is not None:
        policies = ("PreemptLowerPriority", "Never")
        if checks.required(policy, Path("preemptionPolicy"), errors):
            checks.one_of(policy, policies, Path("preemptionPolicy"), errors)


def _not_a_system_class(name: str, value: int, is_default: bool) -> str:
    known = _SYSTEM_PRIORITIES.get(name)
    if known is None:
        return f"{name} is not a known system priority class"
    if value != known:
        return f"value of {name} PriorityClass must be {known}"
    return f"globalDefault of {name} PriorityClass must be False" if is_default else ""


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    if new.get("value") != old.get("value"):
        errors.forbidden(Path("value"), "may not be changed in an update.")
    where = Path("preemptionPolicy")
    checks.unchanged(new.get("preemptionPolicy"), old.get("preemptionPolicy"), where, errors)


STRATEGY = Strategy(
    validate=validate,
    validate_update=validate_update,
    default=default,
    has_generation=True,
    has_status=False,
)
