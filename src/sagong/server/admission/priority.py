"""Priority: a pod's priority is its class's, and there is at most one default class.

Source of semantics: upstream's ``plugin/pkg/admission/priority``.
"""

from sagong.api.meta import name_of
from sagong.api.types import Obj
from sagong.server.admission.interface import Attributes, Lister
from sagong.server.admission.plugin import created, refuse, updated

CLASSES = "priorityclasses.scheduling.k8s.io"
_PREEMPTS = "PreemptLowerPriority"


class Priority:
    name = "Priority"
    resources = frozenset(("pods", CLASSES))

    async def admit(self, attributes: Attributes) -> None:
        both = updated(attributes, "pods")
        if both:
            _carry_over(*both)
        pod = created(attributes, "pods")
        if pod is not None:
            _set_priority(attributes, pod["spec"])

    async def validate(self, attributes: Attributes) -> None:
        both = updated(attributes, CLASSES)
        changed = both[0] if both else created(attributes, CLASSES)
        if changed is None or not changed.get("globalDefault"):
            return
        default = _default_class(attributes.lister)
        if default is None or (both and name_of(default) == name_of(changed)):
            return
        raise refuse(
            attributes,
            f"PriorityClass {name_of(default)} is already marked as default."
            " Only one default can exist",
        )


def _carry_over(new: Obj, old: Obj) -> None:
    for field in ("priority", "preemptionPolicy"):
        if new["spec"].get(field) is None and old["spec"].get(field) is not None:
            new["spec"][field] = old["spec"][field]


def _set_priority(attributes: Attributes, spec: Obj) -> None:
    class_name = spec.get("priorityClassName")
    if class_name:
        found = attributes.lister.get(CLASSES, "", class_name)
        if found is None:
            raise refuse(attributes, f"no PriorityClass with name {class_name} was found")
        chosen: Obj = found.obj
    else:
        chosen = _default_class(attributes.lister) or {}
        if chosen:
            spec["priorityClassName"] = name_of(chosen)
    value = chosen.get("value", 0)
    policy = chosen.get("preemptionPolicy") or _PREEMPTS
    if spec.get("priority") not in (None, value):
        raise refuse(
            attributes,
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec;"
            f" priority admission controller computed {value} from the given PriorityClass name",
        )
    if spec.get("preemptionPolicy") not in (None, policy):
        raise refuse(
            attributes,
            f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be"
            f" provided in pod spec; priority admission controller computed {policy}"
            " from the given PriorityClass name",
        )
    spec["priority"] = value
    spec["preemptionPolicy"] = policy


def _default_class(lister: Lister) -> Obj | None:
    """The global default; should there be several, the lowest, as upstream chooses."""
    defaults = [e.obj for e in lister.list(CLASSES) if e.obj.get("globalDefault")]
    return min(defaults, key=lambda c: int(c.get("value", 0)), default=None)
