"""LimitRanger: containers get the namespace's default resources, and stay within its bounds.

Source of semantics: upstream's ``plugin/pkg/admission/limitranger``.
"""

from collections.abc import Iterator, Mapping

from sagong.api.meta import name_of
from sagong.api.quantities import Quantity, parse
from sagong.api.types import Obj
from sagong.api.usage import Amounts, amounts, pod_limits, pod_requests
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.plugin import created, refuse, updated

ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger:
    name = "LimitRanger"
    resources = frozenset(("pods", "persistentvolumeclaims"))

    async def admit(self, attributes: Attributes) -> None:
        pod = created(attributes, "pods")
        if pod is None:
            return
        for limit_range in _ranges(attributes):
            _set_defaults(pod, limit_range)

    async def validate(self, attributes: Attributes) -> None:
        if attributes.operation is Operation.DELETE:
            return
        pod = created(attributes, "pods")
        resized = updated(attributes, "pods", "resize")
        if resized:
            pod = resized[0]
        changed_claim = updated(attributes, "persistentvolumeclaims")
        claim = changed_claim[0] if changed_claim else created(attributes, "persistentvolumeclaims")
        if pod is None and claim is None:
            return
        for limit_range in _ranges(attributes):
            problems = list(_pod_problems(pod, limit_range)) if pod else []
            problems += list(_claim_problems(claim, limit_range)) if claim else []
            if problems:
                unique = list(dict.fromkeys(problems))
                text = unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"
                raise refuse(attributes, text)


def _ranges(attributes: Attributes) -> list[Obj]:
    found = attributes.lister.list("limitranges", attributes.namespace)
    return sorted((encoded.obj for encoded in found), key=name_of)


def _limits(limit_range: Obj, type_: str) -> list[Obj]:
    limits = limit_range["spec"].get("limits") or ()
    return [limit for limit in limits if limit.get("type") == type_]


def _set_defaults(pod: Obj, limit_range: Obj) -> None:
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for limit in _limits(limit_range, "Container"):
        requests |= limit.get("defaultRequest") or {}
        limits |= limit.get("default") or {}
    notes: list[str] = []
    for part, what in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(part) or ():
            for kind, defaults in (("request", requests), ("limit", limits)):
                added = _fill(container, kind + "s", defaults)
                if added:
                    notes.append(f"{', '.join(added)} {kind} for {what} {container['name']}")
    if notes:
        annotations = pod["metadata"].get("annotations") or {}
        text = "LimitRanger plugin set: " + "; ".join(notes)
        pod["metadata"]["annotations"] = {**annotations, ANNOTATION: text}


def _fill(container: Obj, part: str, defaults: Mapping[str, str]) -> list[str]:
    """Give a container the amounts that it does not state; their names, sorted."""
    resources = container.setdefault("resources", {})
    given = resources.get(part) or {}
    added = sorted(name for name in defaults if name not in given)
    if added:
        resources[part] = {**given, **{name: defaults[name] for name in added}}
    return added


def _pod_problems(pod: Obj, limit_range: Obj) -> Iterator[str]:
    spec = pod["spec"]
    for limit in limit_range["spec"].get("limits") or ():
        if limit.get("type") == "Container":
            for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
                resources = container.get("resources") or {}
                requests = amounts(resources.get("requests"))
                yield from _problems(limit, requests, amounts(resources.get("limits")))
        elif limit.get("type") == "Pod":
            yield from _problems(limit, pod_requests(pod), pod_limits(pod))


def _problems(limit: Obj, requests: Amounts, limits: Amounts) -> Iterator[str]:
    type_ = limit["type"]
    for name, bound in sorted((limit.get("min") or {}).items()):
        text = f"minimum {name} usage per {type_} is {bound}"
        yield from _below(text, parse(bound), requests.get(name), limits.get(name))
    for name, bound in sorted((limit.get("max") or {}).items()):
        text = f"maximum {name} usage per {type_} is {bound}"
        yield from _above(text, parse(bound), requests.get(name), limits.get(name))
    for name, bound in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        text = f"{name} max limit to request ratio per {type_} is {bound}"
        yield from _beyond_ratio(text, parse(bound), requests.get(name), limits.get(name))


def _below(
    text: str, bound: Quantity, request: Quantity | None, limit: Quantity | None
) -> Iterator[str]:
    if request is None:
        yield f"{text}.  No request is specified"
    elif request.nano < bound.nano:
        yield f"{text}, but request is {request}"
    elif limit is not None and limit.nano < bound.nano:
        yield f"{text}, but limit is {limit}"


def _above(
    text: str, bound: Quantity, request: Quantity | None, limit: Quantity | None
) -> Iterator[str]:
    if limit is None:
        yield f"{text}.  No limit is specified"
    elif limit.nano > bound.nano:
        yield f"{text}, but limit is {limit}"
    elif request is not None and request.nano > bound.nano:
        yield f"{text}, but request is {request}"


def _beyond_ratio(
    text: str, bound: Quantity, request: Quantity | None, limit: Quantity | None
) -> Iterator[str]:
    if not request:
        yield f"{text}, but no request is specified or request is 0"
    elif not limit:
        yield f"{text}, but no limit is specified or limit is 0"
    elif limit.nano / request.nano * 1000 > bound.milli_value:
        yield f"{text}, but provided ratio is {limit.nano / request.nano:f}"


def _claim_problems(claim: Obj, limit_range: Obj) -> Iterator[str]:
    requests = amounts((claim["spec"].get("resources") or {}).get("requests"))
    for limit in _limits(limit_range, "PersistentVolumeClaim"):
        for name, bound in sorted((limit.get("min") or {}).items()):
            text = f"minimum {name} usage per PersistentVolumeClaim is {bound}"
            yield from _below(text, parse(bound), requests.get(name), None)
        for name, bound in sorted((limit.get("max") or {}).items()):
            text = f"maximum {name} usage per PersistentVolumeClaim is {bound}"
            if name not in requests:
                yield f"{text}.  No request is specified"
            elif requests[name].nano > parse(bound).nano:
                yield f"{text}, but request is {requests[name]}"
