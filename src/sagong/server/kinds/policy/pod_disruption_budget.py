"""Pod disruption budgets."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.conditions import validate_conditions
from sagong.server.kinds.selectors import validate_label_selector
from sagong.server.kinds.strategy import Strategy

_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def default(budget: Obj) -> None:
    budget.setdefault("spec", {})
    status = budget.setdefault("status", {})
    for name in _COUNTS:
        status.setdefault(name, 0)


def prepare_for_create(budget: Obj) -> None:
    budget["status"] = dict.fromkeys(_COUNTS, 0)


def validate(budget: Obj, errors: ErrorList) -> None:
    spec, path = budget["spec"], Path("spec")
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        message = "minAvailable and maxUnavailable cannot be both set"
        shown = {
            "MinAvailable": spec["minAvailable"],
            "MaxUnavailable": spec["maxUnavailable"],
            "Selector": spec.get("selector"),
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        errors.invalid(path, shown, message)
    for field in ("minAvailable", "maxUnavailable"):
        value = spec.get(field)
        if value is not None:
            checks.int_or_percent(value, path.child(field), errors)
            checks.at_most_100_percent(value, path.child(field), errors)
    validate_label_selector(spec.get("selector"), path.child("selector"), errors)
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None:
        supported = ("AlwaysAllow", "IfHealthyBudget")
        where = path.child("unhealthyPodEvictionPolicy")
        checks.one_of(policy, supported, where, errors)


def validate_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    status = new.get("status") or {}
    conditions = Path("status").child("conditions")
    validate_conditions(status.get("conditions") or (), conditions, errors)
    for field in _COUNTS:
        checks.not_negative(status.get(field), Path("status").child(field), errors)


STRATEGY = Strategy(
    validate=validate,
    validate_status_update=validate_status_update,
    default=default,
    prepare_for_create=prepare_for_create,
    has_generation=True,
    unconditional_update=False,
)
