"""RuntimeClass: pods of a class carry its overhead and go where it runs.

Source of semantics: upstream's ``plugin/pkg/admission/runtimeclass``.
"""

from sagong.api.meta import name_of
from sagong.api.quantities import parse
from sagong.api.types import Obj
from sagong.server.admission.interface import Attributes
from sagong.server.admission.plugin import created, refuse

_CLASSES = "runtimeclasses.node.k8s.io"


class RuntimeClass:
    name = "RuntimeClass"
    resources = frozenset(("pods",))

    async def admit(self, attributes: Attributes) -> None:
        pod = created(attributes, "pods")
        chosen = _class_of(attributes, pod) if pod else None
        if pod is None or chosen is None:
            return
        _set_overhead(attributes, pod["spec"], chosen)
        _set_scheduling(attributes, pod["spec"], chosen.get("scheduling") or {})

    async def validate(self, attributes: Attributes) -> None:
        pod = created(attributes, "pods")
        if pod is None or not pod["spec"].get("overhead"):
            return
        chosen = _class_of(attributes, pod)
        if chosen is None or not _fixed_overhead(chosen):
            raise refuse(
                attributes,
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined"
                " Overhead",
            )
        _check_overhead(attributes, pod["spec"], chosen)


def _class_of(attributes: Attributes, pod: Obj) -> Obj | None:
    name = pod["spec"].get("runtimeClassName")
    if not name:
        return None
    found = attributes.lister.get(_CLASSES, "", name)
    if found is None:
        raise refuse(attributes, f'pod rejected: RuntimeClass "{name}" not found')
    return found.obj


def _fixed_overhead(chosen: Obj) -> dict[str, str]:
    return (chosen.get("overhead") or {}).get("podFixed") or {}


def _set_overhead(attributes: Attributes, spec: Obj, chosen: Obj) -> None:
    overhead = _fixed_overhead(chosen)
    if not overhead:
        return
    if spec.get("overhead"):
        _check_overhead(attributes, spec, chosen)
        return
    spec["overhead"] = dict(overhead)


def _check_overhead(attributes: Attributes, spec: Obj, chosen: Obj) -> None:
    wanted = {k: parse(v) for k, v in _fixed_overhead(chosen).items()}
    if {k: parse(v) for k, v in spec["overhead"].items()} != wanted:
        raise refuse(
            attributes,
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            f" ({name_of(chosen)})",
        )


def _set_scheduling(attributes: Attributes, spec: Obj, scheduling: Obj) -> None:
    wanted = scheduling.get("nodeSelector") or {}
    selector = spec.get("nodeSelector") or {}
    for key, value in wanted.items():
        if selector.get(key, value) != value:
            raise refuse(
                attributes,
                f"conflict: runtimeClass.Scheduling.NodeSelector[{key}] = {value};"
                f" pod.Spec.NodeSelector[{key}] = {selector[key]}",
            )
    if wanted:
        spec["nodeSelector"] = {**selector, **wanted}
    added = [
        t for t in scheduling.get("tolerations") or () if t not in (spec.get("tolerations") or ())
    ]
    if added:
        spec["tolerations"] = [*(spec.get("tolerations") or ()), *added]
