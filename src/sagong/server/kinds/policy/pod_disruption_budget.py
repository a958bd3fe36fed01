"""Pod disruption budgets."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy

_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def default(budget: Obj) -> None:
    budget.setdefault("spec", {})
    status = budget.setdefault("status", {})
    for name in _COUNTS:
        status.setdefault(name, 0)


def prepare_for_create(budget: Obj) -> None:
    budget["status"] = dict.fromkeys(_COUNTS, 0)


STRATEGY = Strategy(default=default, prepare_for_create=prepare_for_create, has_generation=True)
