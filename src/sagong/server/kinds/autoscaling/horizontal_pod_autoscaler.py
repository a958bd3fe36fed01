"""Horizontal pod autoscalers, in v2: the stored version (see ``kinds/conversion.py``)."""

from sagong.api.types import Obj
from sagong.server.kinds.autoscaling.validation import validate_autoscaler
from sagong.server.kinds.strategy import Strategy


def _cpu_metric() -> Obj:
    target = {"type": "Utilization", "averageUtilization": 80}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _scale_up_rules() -> Obj:
    return {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ],
    }


def _scale_down_rules() -> Obj:
    return {
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    status = obj.setdefault("status", {})
    status.setdefault("desiredReplicas", 0)
    status.setdefault("currentMetrics", None)
    if not spec.get("metrics"):
        spec["metrics"] = [_cpu_metric()]
    if spec.get("behavior") is not None:
        _default_behavior(spec["behavior"])


def _default_behavior(behavior: Obj) -> None:
    for name, rules in (("scaleUp", _scale_up_rules()), ("scaleDown", _scale_down_rules())):
        given = behavior.get(name)
        behavior[name] = {**rules, **{k: v for k, v in (given or {}).items() if v is not None}}


def prepare_for_create(obj: Obj) -> None:
    obj["status"] = {"desiredReplicas": 0}
    default(obj)


STRATEGY = Strategy(
    validate=validate_autoscaler, default=default, prepare_for_create=prepare_for_create
)
