"""``status.containerStatuses`` and its like: what users are told about each container.

Semantics: upstream's ``convertToAPIContainerStatuses`` and the prober's ``UpdatePodStatus``.
"""

from collections.abc import Mapping, Sequence

from sagong.api.types import Obj
from sagong.core.clock import format_time
from sagong.node.pods import restart_all
from sagong.node.pods.model import (
    Kind,
    RunState,
    SeenContainer,
    Situation,
    Stage,
    Waiting,
)
from sagong.node.pods.resize import LEVEL, RESIZABLE
from sagong.node.pods.spec import containers_of, is_sidecar, previous_statuses, restarts_after

UNKNOWN_EXIT_CODE = 137
_UNKNOWN_MESSAGE = "The container could not be located when the pod was {what}"


def container_statuses(situation: Situation, kind: Kind) -> list[Obj]:
    """One status for each container of a kind, in the spec's order."""
    previous = previous_statuses(situation.pod, kind)
    return [
        _status(situation, kind, container, previous.get(container["name"], {}))
        for container in containers_of(situation.pod, kind)
        if _is_told_of(situation, kind, container["name"], previous)
    ]


def _is_told_of(situation: Situation, kind: Kind, name: str, previous: Mapping[str, Obj]) -> bool:
    """Nothing is told of what never was: containers of a pod that the node has refused."""
    if name in previous or situation.seen.latest(name) is not None:
        return True
    refused = situation.memory.ending is not None and situation.memory.ending.is_refusal
    if refused or (situation.pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    return kind is not Kind.EPHEMERAL or situation.memory.stage is Stage.RUNNING


def _status(situation: Situation, kind: Kind, container: Obj, previous: Obj) -> Obj:
    attempts = situation.seen.attempts(container["name"])
    latest = attempts[0] if attempts else None
    status: Obj = {"name": container["name"]}
    removed = situation.memory.removed.get(container["name"])
    if latest is None and removed is not None and situation.memory.stage is Stage.RUNNING:
        status["state"], status["lastState"] = restart_all.waiting(), restart_all.terminated()
        status["restartCount"] = removed + 1
        status["image"], status["imageID"] = container.get("image", ""), ""
    elif latest is None:
        status["state"] = _state_without(situation, kind, container, previous)
        status["lastState"] = previous.get("lastState") or {}
        status["restartCount"] = int(previous.get("restartCount") or 0)
        status["image"] = container.get("image", "")
        status["imageID"] = ""
        if "containerID" in previous:
            # Forgotten by the runtime (a reboot, a purge): the next attempt counts on from here.
            status["containerID"] = previous["containerID"]
    else:
        status["state"] = state_of(latest)
        status["lastState"] = _last_state(attempts[1:], previous, latest)
        if removed is not None and latest.attempt == removed + 1:
            status["lastState"] = restart_all.terminated()
        status["restartCount"] = latest.attempt
        status["image"] = latest.image
        status["imageID"] = latest.image_ref
        status["containerID"] = f"containerd://{latest.id}"
    _apply_waiting(situation, kind, container, latest, status)
    running = latest is not None and "running" in status["state"]
    status["started"] = running and is_started(situation, container, latest)
    status["ready"] = is_ready(situation, kind, container, status)
    _add_resources(situation, container, running=running, status=status)
    if kind is Kind.MAIN and (health := situation.device_health.get(container["name"])):
        status["allocatedResourcesStatus"] = list(health)
    return status


def state_of(container: SeenContainer) -> Obj:
    """One of waiting, running, terminated."""
    if container.state is RunState.RUNNING:
        return {"running": {"startedAt": format_time(container.started_at)}}
    if container.state is RunState.CREATED:
        return {"waiting": {"reason": "ContainerCreating"}}
    terminated: Obj = {"exitCode": container.exit_code}
    if container.reason:
        terminated["reason"] = container.reason
    if container.message:
        terminated["message"] = container.message
    terminated["startedAt"] = format_time(container.started_at) if container.started_at else None
    terminated["finishedAt"] = format_time(container.finished_at or container.created_at)
    terminated["containerID"] = f"containerd://{container.id}"
    return {"terminated": terminated}


def _state_without(situation: Situation, kind: Kind, container: Obj, previous: Obj) -> Obj:
    """The state of a container that the runtime does not have."""
    old = previous.get("state") or {}
    if "terminated" in old:
        return {"terminated": old["terminated"]}
    ended = situation.memory.stage is not Stage.RUNNING
    if "running" in old or (ended and _was_due(situation, kind, container["name"])):
        what = "deleted" if situation.memory.stage is not Stage.RUNNING else "terminated"
        return {
            "terminated": {
                "exitCode": UNKNOWN_EXIT_CODE,
                "reason": "ContainerStatusUnknown",
                "message": _UNKNOWN_MESSAGE.format(what=what),
                "startedAt": None,
                "finishedAt": None,
            }
        }
    initializing = kind is not Kind.EPHEMERAL and bool(containers_of(situation.pod, Kind.INIT))
    return {"waiting": {"reason": "PodInitializing" if initializing else "ContainerCreating"}}


def _was_due(situation: Situation, kind: Kind, name: str) -> bool:
    """Whether a container should have been started before the pod's end (upstream's
    ``hasPodInitialized``, ``initializedContainers``): else it is still waiting for ever."""
    init = containers_of(situation.pod, Kind.INIT)
    begun = previous_statuses(situation.pod, Kind.INIT)
    if kind is Kind.INIT:
        names = [c["name"] for c in init]
        after = names[names.index(name) + 1 :]
        return any(_has_begun(situation, other, begun) for other in after)
    if not init:
        return True
    main = previous_statuses(situation.pod, Kind.MAIN)
    if any(_has_begun(situation, c["name"], main) for c in containers_of(situation.pod, Kind.MAIN)):
        return True
    last = situation.seen.latest(init[-1]["name"])
    if is_sidecar(init[-1]):
        return last is not None and last.started_at > 0
    return last is not None and last.state is RunState.EXITED and last.exit_code == 0


def _has_begun(situation: Situation, name: str, previous: Mapping[str, Obj]) -> bool:
    old = previous.get(name) or {}
    told = {*(old.get("state") or {}), *(old.get("lastState") or {})}
    return situation.seen.latest(name) is not None or bool(told & {"running", "terminated"})


def _last_state(older: Sequence[SeenContainer], previous: Obj, latest: SeenContainer) -> Obj:
    """How the attempt before ended; from the last status where the runtime has forgotten it."""
    if older and older[0].state is not RunState.CREATED:
        return state_of(older[0])
    if latest.attempt == int(previous.get("restartCount") or 0):
        return previous.get("lastState") or {}
    old = previous.get("state") or {}
    return {"terminated": old["terminated"]} if "terminated" in old else {}


def _apply_waiting(
    situation: Situation,
    kind: Kind,
    container: Obj,
    latest: SeenContainer | None,
    status: Obj,
) -> None:
    """A container that is to be started but could not be is waiting, and says why."""
    failure = situation.memory.failures.get(container["name"])
    if failure is None or situation.memory.stage is not Stage.RUNNING:
        return
    if latest is not None:
        if latest.state is RunState.RUNNING:
            return
        if latest.state is RunState.EXITED:
            if not restarts_after(situation.pod, container, kind, latest.exit_code):
                return
            status["lastState"] = state_of(latest)
    status["state"] = {"waiting": waiting_state(failure)}


def waiting_state(waiting: Waiting) -> Obj:
    state: Obj = {"reason": waiting.reason}
    if waiting.message:
        state["message"] = waiting.message
    return state


def is_started(situation: Situation, container: Obj, latest: SeenContainer | None) -> bool:
    """Running, and past its startup probe if it has one."""
    if latest is None or latest.state is not RunState.RUNNING:
        return False
    return "startupProbe" not in container or latest.id in situation.probes.started


def is_ready(situation: Situation, kind: Kind, container: Obj, status: Obj) -> bool:
    """Init containers are ready when they have succeeded; others when started and not refused
    by their readiness probe."""
    if kind is Kind.EPHEMERAL:
        return False
    if kind is Kind.INIT and not is_sidecar(container):
        terminated = status["state"].get("terminated")
        return terminated is not None and terminated["exitCode"] == 0
    if not status["started"]:
        return False
    latest = situation.seen.latest(container["name"])
    return "readinessProbe" not in container or (
        latest is not None and latest.id in situation.probes.ready
    )


def _add_resources(situation: Situation, container: Obj, *, running: bool, status: Obj) -> None:
    """What the node has agreed to give, and what the container has now."""
    allocation, name = situation.memory.allocation, container["name"]
    allocated = _with_others(container, allocation.allocated.get(name))
    if allocated.get("requests"):
        status["allocatedResources"] = allocated["requests"]
    if "containerID" in status:
        given = allocation.actuated.get(name) if running else None
        status["resources"] = _with_others(container, given) if given is not None else allocated
        if mounts := container.get("volumeMounts"):
            status["volumeMounts"] = [_mount_status(mount) for mount in mounts]


def level_resources(situation: Situation) -> Obj:
    """What the pod as such has been given, if it asks for anything."""
    spec, allocation = situation.pod["spec"], situation.memory.allocation
    if not spec.get("resources") or LEVEL not in allocation.allocated:
        return {}
    allocated = _with_others(spec, allocation.allocated[LEVEL])
    found: Obj = {"resources": _with_others(spec, allocation.actuated.get(LEVEL))}
    if allocated.get("requests"):
        found["allocatedResources"] = allocated["requests"]
    return found


def _with_others(container: Obj, given: Obj | None) -> Obj:
    """cpu and memory as given, if they may change; everything else as the spec has it."""
    found = {}
    for which in ("limits", "requests"):
        listed = (container.get("resources") or {}).get(which) or {}
        if given is not None:
            kept = {k: v for k, v in listed.items() if k not in RESIZABLE}
            listed = {**kept, **given.get(which, {})}
        if listed:
            found[which] = listed
    return found


def _mount_status(mount: Obj) -> Obj:
    status: Obj = {"mountPath": mount["mountPath"], "name": mount["name"]}
    if mount.get("readOnly"):
        status |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
    return status
