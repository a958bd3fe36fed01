"""Scale workloads by what their pods use (HorizontalPodAutoscaler).

Reads: HorizontalPodAutoscaler, Pod, the target's Scale, PodMetrics (metrics.k8s.io).
Writes: the target's Scale, HorizontalPodAutoscaler.status.
Invariant: a target that is scaled to zero is left alone; without metrics nothing is scaled, unless
the target is outside of minReplicas and maxReplicas.

Custom and external metrics are served by adapters that a cluster may or may not have (values.py);
without one such a metric is reported as upstream reports it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api import errors
from sagong.api.meta import deep_copy, labels_of, name_of, namespace_of
from sagong.api.pods import phase_of
from sagong.api.quantities import Quantity, parse
from sagong.api.selectors import parse_label_selector
from sagong.api.types import Key, Obj
from sagong.controllers.autoscaling import values
from sagong.controllers.autoscaling.pace import Bounds, History, Paced, Why, pace
from sagong.controllers.autoscaling.usage import (
    Proposal,
    Target,
    Tolerance,
    Unknown,
    propose,
    samples_of,
)
from sagong.controllers.pods.state import is_ready
from sagong.core.clock import format_time
from sagong.ctl.controller import Cache, Controller, Env, Reconcile, Result, after, reads

RESOURCE = "horizontalpodautoscalers.autoscaling"
METRICS = "pods.metrics.k8s.io"
PERIOD_SECONDS = 15.0  # upstream's --horizontal-pod-autoscaler-sync-period
REMEMBERED_SECONDS = 3600.0  # the longest window and period that the API takes

CONTROLLER = Controller(
    name="horizontal-pod-autoscaler",
    reconciles=RESOURCE,
    watches=(reads("pods"),),
    workers=5,
    component="horizontal-pod-autoscaler",
)


@dataclass(frozen=True, slots=True)
class Seen:
    autoscaler: Obj
    current: int
    pods: Sequence[Obj]  # of the target
    # PodMetrics of the target, or why there are none.
    metrics: Sequence[Obj] | str
    # By the index of a metric that an adapter serves: its values, or why there are none.
    values: Mapping[int, Sequence[Obj] | str] = field(default_factory=dict)
    present: int = 0  # status.replicas of the scale


@dataclass(frozen=True, slots=True)
class Computed:
    """What one metric says: a proposal, or why it has none."""

    name: str
    status: Obj | None
    replicas: int = 0
    failure: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """``failure`` is what the metrics could not say; then ``replicas`` stays as it is."""

    replicas: int
    why: str
    conditions: Mapping[str, tuple[bool, Why]]
    statuses: Sequence[Obj] | None = None
    failure: Why | None = None


def observe(key: Key, cache: Cache) -> Obj | None:
    return cache.get(RESOURCE, key.namespace, key.name)


def plan(seen: Seen, history: History, *, now: float, monotonic: float) -> Plan:
    """``now`` in seconds since the epoch."""
    spec = seen.autoscaler["spec"]
    minimum, maximum = spec.get("minReplicas"), spec["maxReplicas"]
    bounds = Bounds(seen.current, 1 if minimum is None else minimum, maximum)
    if bounds.current == 0 and bounds.minimum != 0:
        message = "scaling is disabled since the replica count of the target is zero"
        return Plan(0, "", {"ScalingActive": (False, Why("ScalingDisabled", message))})
    if bounds.current > maximum:
        return Plan(maximum, "Current number of replicas above Spec.MaxReplicas", {})
    if bounds.current < bounds.minimum:
        return Plan(bounds.minimum, "Current number of replicas below Spec.MinReplicas", {})
    computed = [
        _compute(seen, i, metric, now) for i, metric in enumerate(spec.get("metrics") or ())
    ]
    good = [c for c in computed if not c.failure]
    bad = [c for c in computed if c.failure]
    best = max(good, key=lambda c: c.replicas, default=None)
    if best is None or (bad and best.replicas < bounds.current):
        return _failed(bounds.current, bad, len(computed))
    active = f"the HPA was able to successfully calculate a replica count from {best.name}"
    paced = pace(best.replicas, bounds, spec.get("behavior"), history, monotonic)
    why = f"{best.name} above target" if best.replicas > bounds.current else ""
    if paced.replicas < bounds.current:
        why = "All metrics below target"
    return Plan(
        paced.replicas,
        why,
        _paced(paced) | {"ScalingActive": (True, Why("ValidMetricFound", active))},
        [c.status for c in good if c.status is not None],
    )


def _failed(current: int, bad: Sequence[Computed], total: int) -> Plan:
    first = bad[0]
    message = (
        f"invalid metrics ({len(bad)} invalid out of {total}), first error is: {first.failure}"
    )
    unable = f"the HPA was unable to compute the replica count: {first.failure}"
    return Plan(
        current,
        "",
        {"ScalingActive": (False, Why(first.reason, unable))},
        failure=Why(first.reason, message),
    )


def _paced(paced: Paced) -> dict[str, tuple[bool, Why]]:
    within = Why("DesiredWithinRange", "the desired count is within the acceptable range")
    return {
        "AbleToScale": (True, paced.able),
        "ScalingLimited": (paced.limited is not None, paced.limited or within),
    }


def _compute(seen: Seen, index: int, metric: Obj, now: float) -> Computed:
    type_ = metric["type"]
    if type_ in values.ADAPTED:
        return _adapted(seen, metric, seen.values.get(index, "not asked"), now)
    part = metric["resource" if type_ == "Resource" else "containerResource"]
    target = _target(part)
    what = "container resource" if type_ == "ContainerResource" else "resource"
    failing = f"FailedGet{type_}Metric"
    try:
        if isinstance(seen.metrics, str):
            raise Unknown(f"unable to get metrics for resource {target.resource}: {seen.metrics}")
        names = frozenset(name_of(pod) for pod in seen.pods)
        samples = samples_of(seen.metrics, target.resource, target.container, names)
        found = propose(
            seen.current,
            target,
            seen.pods,
            samples,
            tolerance=_tolerance(seen.autoscaler["spec"].get("behavior")),
            now=now,
        )
    except Unknown as error:
        kind = "utilization" if target.utilization is not None else "usage"
        failure = f"failed to get {target.resource} {what} metric value: failed to get "
        failure += f"{target.resource} {kind}: {error}"
        return Computed(target.resource, None, failure=failure, reason=failing)
    name = f"{target.resource} {what}"
    if target.utilization is not None:
        name += " utilization (percentage of request)"
    return Computed(name, _status(type_, part, found), found.replicas)


def _adapted(seen: Seen, metric: Obj, found: Sequence[Obj] | str, now: float) -> Computed:
    title, type_ = values.title_of(metric), metric["type"]
    tolerance = _tolerance(seen.autoscaler["spec"].get("behavior"))
    try:
        if isinstance(found, str):
            raise Unknown(found)
        if type_ == "Pods":
            target = Target("", milli=parse(metric["pods"]["target"]["averageValue"]).milli_value)
            samples = values.samples_of(found)
            proposal = propose(
                seen.current, target, seen.pods, samples, tolerance=tolerance, now=now
            )
            status = values.pods_status(metric, proposal.average_milli)
            return Computed(title, status, proposal.replicas)
        ready = sum(phase_of(pod) == "Running" and is_ready(pod) for pod in seen.pods)
        scale = values.Scale(seen.current, seen.present, ready)
        scaled = values.scale_by(metric, found, scale, tolerance)
    except Unknown as error:
        failure = values.failure_of(metric, namespace_of(seen.autoscaler), str(error))
        return Computed(title, None, failure=failure, reason=f"FailedGet{type_}Metric")
    return Computed(title, scaled.status, scaled.replicas)


def _target(part: Obj) -> Target:
    wanted = part["target"]
    milli = parse(wanted["averageValue"]).milli_value if wanted.get("averageValue") else 0
    share = None if milli else wanted.get("averageUtilization")
    return Target(part["name"], part.get("container") or "", share, milli)


def _tolerance(behavior: Obj | None) -> Tolerance:
    found = {}
    for direction, rules in (("up", "scaleUp"), ("down", "scaleDown")):
        text = ((behavior or {}).get(rules) or {}).get("tolerance")
        if text is not None:
            found[direction] = parse(text).nano / 1e9
    return Tolerance(**found)


def _status(type_: str, part: Obj, found: Proposal) -> Obj:
    current: Obj = {"averageValue": str(Quantity.of_milli(found.average_milli))}
    if found.utilization is not None:
        current["averageUtilization"] = found.utilization
    status = {"name": part["name"], "current": current}
    if type_ == "ContainerResource":
        return {"type": type_, "containerResource": status | {"container": part["container"]}}
    return {"type": type_, "resource": status}


def reconciler() -> Reconcile:
    """Reconcile with a memory of recommendations."""
    histories: dict[Key, History] = {}
    looked: dict[Key, tuple[float, int]] = {}  # monotonic seconds, generation

    async def reconcile(key: Key, env: Env) -> Result:
        autoscaler = observe(key, env.cache)
        if autoscaler is None:
            histories.pop(key, None)
            looked.pop(key, None)
            return Result()
        now, generation = env.clock.monotonic(), autoscaler["metadata"].get("generation") or 0
        last, judged = looked.get(key, (now - PERIOD_SECONDS, generation))
        # Our own status wakes us too: metrics must have time to show what the last step did.
        if now - last < PERIOD_SECONDS and judged == generation:
            return after(last + PERIOD_SECONDS - now)
        looked[key] = (now, generation)
        history = histories.setdefault(key, History())
        history.forget(now - REMEMBERED_SECONDS)
        await _autoscale(autoscaler, key, history, env)
        return after(PERIOD_SECONDS)

    return reconcile


_ABLE = Why("SucceededGetScale", "the HPA controller was able to get the target's current scale")


async def _autoscale(autoscaler: Obj, key: Key, history: History, env: Env) -> None:
    try:
        resource, scale = await _scale_of(autoscaler, key.namespace, env)
    except (errors.ApiError, LookupError) as error:
        text = error.message if isinstance(error, errors.ApiError) else str(error.args[0])
        env.events.emit(autoscaler, "Warning", "FailedGetScale", text)
        unable = f"the HPA controller was unable to get the target's current scale: {text}"
        conditions = {"AbleToScale": (False, Why("FailedGetScale", unable))}
        await _report(autoscaler, conditions, {}, env)
        return
    current = (scale.get("spec") or {}).get("replicas") or 0
    selector = (scale.get("status") or {}).get("selector") or ""
    if not selector:
        missing = "the HPA target's scale is missing a selector"
        env.events.emit(autoscaler, "Warning", "SelectorRequired", "selector is required")
        conditions = {
            "AbleToScale": (True, _ABLE),
            "ScalingActive": (False, Why("InvalidSelector", missing)),
        }
        await _report(autoscaler, conditions, {"currentReplicas": current}, env)
        return
    matching = parse_label_selector(selector)
    pods = [p for p in env.cache.list("pods", key.namespace) if matching.matches(labels_of(p))]
    seen = Seen(
        autoscaler,
        current,
        pods,
        await _metrics(key.namespace, selector, env),
        await _values(autoscaler, selector, env),
        (scale.get("status") or {}).get("replicas") or 0,
    )
    steps = plan(seen, history, now=env.clock.now(), monotonic=env.clock.monotonic())
    conditions = {"AbleToScale": (True, _ABLE), **steps.conditions}
    status: Obj = {"currentReplicas": current, "desiredReplicas": steps.replicas}
    if steps.statuses is not None:
        status["currentMetrics"] = list(steps.statuses)
    if steps.failure is not None:
        emit = env.events.emit
        emit(autoscaler, "Warning", steps.failure.reason, _first(steps))
        emit(autoscaler, "Warning", "FailedComputeMetricsReplicas", steps.failure.message)
    elif steps.replicas != current:
        conditions["AbleToScale"] = await _scale(autoscaler, resource, scale, steps, env)
        if conditions["AbleToScale"][0]:
            history.scaled(steps.replicas - current, env.clock.monotonic())
            status["lastScaleTime"] = format_time(env.clock.now())
        else:
            status["desiredReplicas"] = current
    await _report(autoscaler, conditions, status, env)


def _first(steps: Plan) -> str:
    return steps.conditions["ScalingActive"][1].message.partition("replica count: ")[2]


async def _scale_of(autoscaler: Obj, namespace: str, env: Env) -> tuple[str, Obj]:
    """The target's resource and Scale. Raises LookupError for kinds that are not served."""
    target = autoscaler["spec"]["scaleTargetRef"]
    resource = env.client.resources.of_kind(target.get("apiVersion") or "v1", target["kind"])
    if resource is None:
        group = (target.get("apiVersion") or "").rpartition("/")[0]
        raise LookupError(f'no matches for kind "{target["kind"]}" in group "{group}"')
    name = target["name"]
    scale = await env.client.get(resource.name, name, namespace=namespace, subresource="scale")
    return resource.name, scale


async def _metrics(namespace: str, selector: str, env: Env) -> Sequence[Obj] | str:
    if env.client.resources.named(METRICS) is None:
        return "the server could not find the requested resource (get pods.metrics.k8s.io)"
    try:
        found = await env.client.list(METRICS, namespace=namespace, label_selector=selector)
    except errors.ApiError as error:
        return f"unable to fetch metrics from resource metrics API: {error.message}"
    if not found.items:
        return "no metrics returned from resource metrics API"
    return [item.obj for item in found.items]


async def _values(autoscaler: Obj, selector: str, env: Env) -> Mapping[int, Sequence[Obj] | str]:
    namespace = namespace_of(autoscaler)
    return {
        index: await values.fetch(metric, namespace, selector, env)
        for index, metric in enumerate(autoscaler["spec"].get("metrics") or ())
        if metric["type"] in values.ADAPTED
    }


async def _scale(
    autoscaler: Obj, resource: str, scale: Obj, steps: Plan, env: Env
) -> tuple[bool, Why]:
    told = f"New size: {steps.replicas}; reason: {steps.why}"
    try:
        await _resize(resource, scale, steps.replicas, env)
    except errors.ApiError as error:
        message = f"{told}; error: {error.message}"
        env.events.emit(autoscaler, "Warning", "FailedRescale", message)
        unable = f"the HPA controller was unable to update the target scale: {error.message}"
        return False, Why("FailedUpdateScale", unable)
    env.events.emit(autoscaler, "Normal", "SuccessfulRescale", told)
    able = f"the HPA controller was able to update the target scale to {steps.replicas}"
    return True, Why("SucceededRescale", able)


async def _resize(resource: str, scale: Obj, replicas: int, env: Env) -> None:
    """Raises ApiError. What else of the target was written meanwhile does not matter."""
    changed = deep_copy(scale)
    changed["spec"] = {"replicas": replicas}
    try:
        await env.client.update(resource, changed, subresource="scale")
    except errors.Conflict:
        name, namespace = name_of(scale), namespace_of(scale)
        live = await env.client.get(resource, name, namespace=namespace, subresource="scale")
        if live.get("spec") != scale.get("spec"):
            raise
        version = live["metadata"]["resourceVersion"]
        changed["metadata"]["resourceVersion"] = version
        await env.client.update(resource, changed, subresource="scale")


async def _report(
    autoscaler: Obj, conditions: Mapping[str, tuple[bool, Why]], fields: Obj, env: Env
) -> None:
    changed = deep_copy(autoscaler)
    status = changed.setdefault("status", {})
    status.update(fields)
    status.setdefault("desiredReplicas", 0)
    status["observedGeneration"] = autoscaler["metadata"].get("generation")
    status["conditions"] = _merged(
        status.get("conditions") or (), conditions, format_time(env.clock.now())
    )
    if changed != autoscaler:
        await env.client.update(RESOURCE, changed, subresource="status")


def _merged(current: Sequence[Obj], wanted: Mapping[str, tuple[bool, Why]], now: str) -> list[Obj]:
    found = {c["type"]: c for c in current}
    for type_, (holds, why) in wanted.items():
        status = "True" if holds else "False"
        old = found.get(type_)
        since = old["lastTransitionTime"] if old and old["status"] == status else now
        found[type_] = {
            "type": type_,
            "status": status,
            "lastTransitionTime": since,
            "reason": why.reason,
            "message": why.message,
        }
    return list(found.values())
