"""The rows of pods: what a pod is doing, in one word (upstream's ``printPod``)."""

from dataclasses import dataclass
from typing import Any

from sagong.api.meta import is_deleting
from sagong.api.tables import cells
from sagong.api.tables.column import AGE, NAME, Printer, text, wide
from sagong.api.types import Obj
from sagong.core.clock import parse_time


@dataclass(slots=True)
class _Summary:
    reason: str
    ready: int = 0
    total: int = 0
    restarts: int = 0
    last_restart: float | None = None
    # Of init containers that run beside the others: all that counts past initialisation.
    sidecar_restarts: int = 0
    last_sidecar_restart: float | None = None

    def count_sidecar(self, status: Obj) -> None:
        self.sidecar_restarts += status.get("restartCount", 0)
        finished = _last_finished(status)
        if finished:
            self.last_sidecar_restart = max(self.last_sidecar_restart or 0.0, finished)

    def count(self, status: Obj) -> None:
        self.restarts += status.get("restartCount", 0)
        finished = _last_finished(status)
        if finished:
            self.last_restart = max(self.last_restart or 0.0, finished)


def _last_finished(status: Obj) -> float | None:
    finished = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt")
    return parse_time(finished) if finished else None


def _terminated_reason(state: Obj, prefix: str = "") -> str:
    if state.get("reason"):
        return prefix + str(state["reason"])
    if state.get("signal"):
        return f"{prefix}Signal:{state['signal']}"
    return f"{prefix}ExitCode:{state.get('exitCode', 0)}"


def _summarise_init(pod: Obj, summary: _Summary) -> bool:
    """Account for init containers; True while they have not all finished or started."""
    spec, status = pod["spec"], pod.get("status") or {}
    restartable = {
        c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"
    }
    total = len(spec.get("initContainers") or ())
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        state = container.get("state") or {}
        terminated = state.get("terminated")
        is_sidecar = container["name"] in restartable
        summary.count(container)
        if is_sidecar:
            summary.count_sidecar(container)
        if terminated is not None and terminated.get("exitCode", 0) == 0:
            continue
        if is_sidecar and container.get("started"):
            summary.ready += 1 if container.get("ready") else 0
            continue
        if terminated is not None:
            summary.reason = _terminated_reason(terminated, "Init:")
        elif (state.get("waiting") or {}).get("reason") not in (None, "", "PodInitializing"):
            summary.reason = "Init:" + state["waiting"]["reason"]
        else:
            summary.reason = f"Init:{index}/{total}"
        return True
    return False


def _summarise_containers(pod: Obj, summary: _Summary) -> None:
    has_running = False
    summary.restarts, summary.last_restart = summary.sidecar_restarts, summary.last_sidecar_restart
    for container in reversed((pod.get("status") or {}).get("containerStatuses") or ()):
        state = container.get("state") or {}
        summary.count(container)
        if (state.get("waiting") or {}).get("reason"):
            summary.reason = state["waiting"]["reason"]
        elif state.get("terminated") is not None:
            summary.reason = _terminated_reason(state["terminated"])
        elif container.get("ready") and state.get("running") is not None:
            has_running = True
            summary.ready += 1
    if summary.reason == "Completed" and has_running:
        conditions = (pod.get("status") or {}).get("conditions") or ()
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        summary.reason = "Running" if ready else "NotReady"


def _summarise(pod: Obj) -> _Summary:
    spec, status = pod["spec"], pod.get("status") or {}
    summary = _Summary(status.get("reason") or status.get("phase") or "")
    summary.total = len(spec.get("containers") or ()) + sum(
        c.get("restartPolicy") == "Always" for c in spec.get("initContainers") or ()
    )
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            summary.reason = "SchedulingGated"
    initializing = _summarise_init(pod, summary)
    initialized = any(
        c["type"] == "Initialized" and c["status"] == "True" for c in status.get("conditions") or ()
    )
    if not initializing or initialized:
        _summarise_containers(pod, summary)
    if is_deleting(pod) and status.get("reason") == "NodeLost":
        summary.reason = "Unknown"
    elif is_deleting(pod) and status.get("phase") not in ("Succeeded", "Failed"):
        summary.reason = "Terminating"
    return summary


def _readiness_gates(pod: Obj) -> str:
    gates = pod["spec"].get("readinessGates") or ()
    if not gates:
        return cells.NONE
    conditions = (pod.get("status") or {}).get("conditions") or ()
    statuses = {c["type"]: c["status"] for c in reversed(conditions)}
    met = sum(statuses.get(gate["conditionType"]) == "True" for gate in gates)
    return f"{met}/{len(gates)}"


_COMPLETED = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


def _conditions(pod: Obj) -> list[Obj]:
    phase = (pod.get("status") or {}).get("phase") or ""
    if phase not in _COMPLETED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _COMPLETED[phase]}]


def _pod(pod: Obj, now: float) -> list[Any]:
    summary = _summarise(pod)
    status = pod.get("status") or {}
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart is not None:
        restarts += f" ({cells.human_duration(now - summary.last_restart)} ago)"
    ips = status.get("podIPs") or [{"ip": status.get("podIP")}]
    return [
        cells.name(pod),
        f"{summary.ready}/{summary.total}",
        summary.reason,
        restarts,
        cells.age(pod, now),
        ips[0].get("ip") or cells.NONE,
        pod["spec"].get("nodeName") or cells.NONE,
        status.get("nominatedNodeName") or cells.NONE,
        _readiness_gates(pod),
    ]


PRINTERS = {
    "pods": Printer(
        [
            NAME,
            *text("Ready", "Status", "Restarts"),
            AGE,
            *wide("IP", "Node", "Nominated Node", "Readiness Gates"),
        ],
        _pod,
        conditions=_conditions,
    ),
}
