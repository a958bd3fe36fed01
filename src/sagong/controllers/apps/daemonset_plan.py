"""The next step of a DaemonSet: one pod on each node that wants one, updated in turn. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api.intstr import scaled
from sagong.api.meta import is_deleting, name_of, namespace_of
from sagong.api.pods import is_finished, phase_of
from sagong.api.types import Obj
from sagong.controllers.apps.daemonset_nodes import (
    Fit,
    fit,
    is_updated,
    new_pods,
    target_of,
    with_tolerations,
)
from sagong.controllers.pods.state import created_at, is_available, is_ready, node_of

BURST_PODS = 250

Event = tuple[str, str, str]  # type, reason, message


@dataclass(frozen=True, slots=True)
class Seen:
    daemon_set: Obj
    nodes: Sequence[Obj]
    pods: Sequence[Obj]
    hash_: str  # of the present revision
    # By node, the seconds for which a failed pod stays: nodes that refuse pods fail them at once.
    waits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    status: Obj
    create: Sequence[Obj] = ()
    delete: Sequence[Obj] = ()
    events: Sequence[Event] = ()
    failed_nodes: Sequence[str] = ()  # whose failed pods are among those to delete
    look_again: float | None = None


@dataclass(slots=True)
class _Step:
    """What the passes over the nodes have decided so far."""

    create: list[str] = field(default_factory=list)  # names of nodes
    delete: dict[str, Obj] = field(default_factory=dict)  # pods by name
    events: list[Event] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    failed_nodes: list[str] = field(default_factory=list)

    def remove(self, pods: Sequence[Obj]) -> None:
        self.delete.update((name_of(pod), pod) for pod in pods)


@dataclass(frozen=True, slots=True)
class _View:
    """The nodes with their fits and pods, oldest pod first."""

    daemon_set: Obj
    hash_: str
    now: float
    fits: Mapping[str, Fit]
    pods: Mapping[str, Sequence[Obj]]
    waits: Mapping[str, float]

    def available(self, pod: Obj) -> bool:
        seconds = self.daemon_set["spec"].get("minReadySeconds") or 0
        return is_available(pod, seconds, self.now)

    def updated(self, pod: Obj) -> bool:
        return is_updated(self.daemon_set, pod, self.hash_)


def plan(seen: Seen, *, now: float) -> Plan:
    """Creations and deletions of this step, and the status of what there is."""
    view = _view(seen, now)
    status = _status(view)
    if is_deleting(seen.daemon_set):
        return Plan(status)
    step = _Step()
    surge, unavailable = _limits(view, status["desiredNumberScheduled"])
    for node in view.fits:
        _plan_node(view, node, step, surges=surge > 0)
    step.remove(_lost(view, seen.pods))
    strategy = seen.daemon_set["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") == "RollingUpdate":
        if surge:
            _plan_surge(view, step, surge)
        else:
            _plan_replacement(view, step, unavailable)
    create = list(dict.fromkeys(step.create))[:BURST_PODS]
    return Plan(
        status,
        create=new_pods(seen.daemon_set, create, seen.hash_),
        delete=list(step.delete.values())[:BURST_PODS],
        events=step.events,
        failed_nodes=step.failed_nodes,
        look_again=min(step.waits, default=None),
    )


def _view(seen: Seen, now: float) -> _View:
    spec = with_tolerations(seen.daemon_set["spec"]["template"]["spec"])
    by_node: dict[str, list[Obj]] = {}
    for pod in sorted(seen.pods, key=lambda pod: (created_at(pod), name_of(pod))):
        # What is finished and being deleted no longer holds the node's place.
        if not (is_deleting(pod) and is_finished(pod)):
            by_node.setdefault(target_of(pod), []).append(pod)
    fits = {name_of(node): fit(spec, node) for node in seen.nodes}
    return _View(seen.daemon_set, seen.hash_, now, fits, by_node, seen.waits)


def _limits(view: _View, desired: int) -> tuple[int, int]:
    """How many nodes may have a second pod, and how many may be without an available one."""
    rolling = (view.daemon_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge") or 0, desired, round_up=True)
    limit = rolling.get("maxUnavailable")
    unavailable = scaled(1 if limit is None else limit, desired, round_up=True)
    if desired and not surge and not unavailable:
        unavailable = 1
    return surge, unavailable


def _lost(view: _View, pods: Sequence[Obj]) -> list[Obj]:
    """Pods not yet bound, made for nodes that are gone."""
    return [
        pod
        for pod in pods
        if not node_of(pod) and not is_deleting(pod) and target_of(pod) not in view.fits
    ]


def _plan_node(view: _View, node: str, step: _Step, *, surges: bool) -> None:
    found, pods = view.fits[node], view.pods.get(node, ())
    if not found.stay:
        step.remove([pod for pod in pods if not is_deleting(pod)])
        return
    if not pods:
        if found.run:
            step.create.append(node)
        return
    running = []
    for pod in pods:
        if is_deleting(pod):
            continue
        if is_finished(pod):
            _plan_finished(view, node, pod, step)
        else:
            running.append(pod)
    if not surges:
        # Prefer the pod that is bound; the oldest of them.
        running.sort(key=lambda pod: not node_of(pod))
        step.remove(running[1:])
    elif len(running) > 1:
        _prune(view, running, step)


def _plan_finished(view: _View, node: str, pod: Obj, step: _Step) -> None:
    place = f"{namespace_of(pod)}/{name_of(pod)} on node {node}"
    if phase_of(pod) == "Succeeded":
        text = f"Found succeeded daemon pod {place}, will try to delete it"
        step.events.append(("Normal", "SucceededDaemonPod", text))
        step.remove([pod])
        return
    if node in view.waits:
        step.waits.append(view.waits[node])
        return
    text = f"Found failed daemon pod {place}, will try to kill it"
    step.events.append(("Warning", "FailedDaemonPod", text))
    step.failed_nodes.append(node)
    step.remove([pod])


def _prune(view: _View, running: Sequence[Obj], step: _Step) -> None:
    """Of old and new pods keep the oldest each; the old one goes when the new one can stand in."""
    new = [pod for pod in running if view.updated(pod)]
    old = [pod for pod in running if not view.updated(pod)]
    step.remove(new[1:])
    step.remove(old[1:])
    if new and old and (not is_ready(old[0]) or view.available(new[0])):
        step.remove(old[:1])


@dataclass(frozen=True, slots=True)
class _Pair:
    """The one old and the one new pod of a node; not clear if there are others or one goes."""

    old: Obj | None
    new: Obj | None
    clear: bool = True


def _pair(view: _View, node: str) -> _Pair:
    old = new = None
    for pod in view.pods.get(node, ()):
        if is_deleting(pod):
            return _Pair(None, None, clear=False)
        if view.updated(pod):
            if new is not None:
                return _Pair(None, None, clear=False)
            new = pod
        elif old is not None:
            return _Pair(None, None, clear=False)
        else:
            old = pod
    return _Pair(old, new)


def _plan_replacement(view: _View, step: _Step, most: int) -> None:
    """Delete old pods, as many as keep the unavailable nodes within the limit."""
    unavailable, candidates = 0, []
    for node, found in view.fits.items():
        if not found.run and not view.pods.get(node):
            continue
        pair = _pair(view, node)
        if not pair.clear or (pair.old is None) == (pair.new is None):
            unavailable += 1
        elif pair.new is not None:
            unavailable += not view.available(pair.new)
        elif pair.old is not None and not view.available(pair.old):
            # It costs nothing to replace what does not work; but failed ones have their back-off.
            if not is_finished(pair.old):
                step.remove([pair.old])
            unavailable += 1
        elif pair.old is not None:
            candidates.append(pair.old)
    step.remove(candidates[: max(0, most - unavailable)])


def _plan_surge(view: _View, step: _Step, most: int) -> None:
    """Start new pods beside old ones, as many as the limit allows; old ones go when they can."""
    surging, candidates = 0, []
    for node, found in view.fits.items():
        pair = _pair(view, node)
        if not pair.clear:
            surging += 1
        elif pair.old is None or not found.run:
            continue
        elif pair.new is None:
            if view.available(pair.old):
                candidates.append(node)
            else:
                step.create.append(node)
        elif view.available(pair.new):
            step.remove([pair.old])
        else:
            surging += 1
    step.create += candidates[: max(0, most - surging)]


def _status(view: _View) -> Obj:
    desired = current = misscheduled = ready = available = updated = 0
    for node, found in view.fits.items():
        pods = view.pods.get(node, ())
        if not found.run:
            misscheduled += bool(pods)
            continue
        desired += 1
        if pods:
            current += 1
            ready += is_ready(pods[0])
            available += is_ready(pods[0]) and view.available(pods[0])
            updated += view.updated(pods[0])
    old = view.daemon_set.get("status") or {}
    status: Obj = {
        "currentNumberScheduled": current,
        "numberMisscheduled": misscheduled,
        "desiredNumberScheduled": desired,
        "numberReady": ready,
        "observedGeneration": view.daemon_set["metadata"].get("generation", 0),
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    }
    always = tuple(status)[:4]
    status = {k: v for k, v in status.items() if v or k in always}
    return {k: old[k] for k in ("collisionCount", "conditions") if k in old} | status
