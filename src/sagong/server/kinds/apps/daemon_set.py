"""Daemon sets."""

from sagong.api.types import Obj
from sagong.server.kinds.core.pod_spec import default_pod_template
from sagong.server.kinds.strategy import Strategy

# apps/v1 has no templateGeneration field any more; the annotation carries it.
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_COUNTS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    default_pod_template(spec.setdefault("template", {}))
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        if rolling.get("maxUnavailable") is None:
            rolling["maxUnavailable"] = 1
        if rolling.get("maxSurge") is None:
            rolling["maxSurge"] = 0
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    status = obj.setdefault("status", {})
    for name in _COUNTS:
        status.setdefault(name, 0)


def _set_template_generation(obj: Obj, generation: int) -> None:
    annotations = obj["metadata"].get("annotations") or {}
    obj["metadata"]["annotations"] = {**annotations, TEMPLATE_GENERATION: str(generation)}


def template_generation(obj: Obj) -> int:
    text = (obj["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "")
    return int(text) if text.isdecimal() else 0


def prepare_for_create(obj: Obj) -> None:
    obj["status"] = dict.fromkeys(_COUNTS, 0)
    _set_template_generation(obj, max(1, template_generation(obj)))


def prepare_for_update(new: Obj, old: Obj) -> None:
    """The template's generation counts changes of the template only; clients cannot set it."""
    changed = new["spec"]["template"] != old["spec"]["template"]
    _set_template_generation(new, template_generation(old) + (1 if changed else 0))


STRATEGY = Strategy(
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    has_generation=True,
)
