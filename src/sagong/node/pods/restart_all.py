"""Restarting all containers of a pod in place, because one of them ended as a rule of its foresees.

Everything but the containers stays: the sandbox with its address, volumes, devices. Init containers
run again too. What starts it is read from the containers themselves, and the one that did is
removed last: an agent that is killed in between goes on. Pure. Semantics: upstream's KEP-5532.
"""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.node.pods.model import Kind, RunState, SeenContainer, SeenPod, Situation
from sagong.node.pods.spec import RESTART_ALL, containers_of, rule_action

CONDITION = "AllContainersRestarting"
REASON = "RestartingAllContainers"
_MESSAGE = "The container is removed because RestartAllContainers in place"
_KILLED = 137


def trigger_of(pod: Obj, seen: SeenPod) -> SeenContainer | None:
    """The container that has ended so that all are to start anew."""
    sandbox = seen.sandbox
    if sandbox is None:
        return None
    active = seen.in_sandbox(sandbox.id)
    for kind in (Kind.INIT, Kind.MAIN):
        for container in containers_of(pod, kind):
            own = active.get(container["name"])
            if own is None or own.state is not RunState.EXITED:
                continue
            if rule_action(container, own.exit_code) == RESTART_ALL:
                return own
    return None


def removable(pod: Obj, seen: SeenPod, trigger: SeenContainer) -> tuple[SeenContainer, ...]:
    """All attempts of init and main containers, those of the trigger last."""
    names = {c["name"] for kind in (Kind.INIT, Kind.MAIN) for c in containers_of(pod, kind)}
    found = [c for c in seen.containers if c.name in names]
    # Within the trigger's own, the newest last: it is what tells that all this is to be done.
    return tuple(sorted(found, key=lambda c: (c.name == trigger.name, c.attempt)))


def attempts(found: tuple[SeenContainer, ...]) -> Mapping[str, int]:
    """The newest of each name."""
    newest: dict[str, int] = {}
    for container in found:
        newest[container.name] = max(container.attempt, newest.get(container.name, -1))
    return newest


def waiting() -> Obj:
    return {"waiting": {"reason": REASON, "message": _MESSAGE}}


def is_told(status: Obj) -> bool:
    """Whether a container's status is that of one that was removed so."""
    return bool(((status.get("state") or {}).get("waiting") or {}).get("reason") == REASON)


def terminated() -> Obj:
    """What is told of the attempt that was removed."""
    facts = {"exitCode": _KILLED, "reason": REASON, "message": _MESSAGE}
    return {"terminated": {**facts, "startedAt": None, "finishedAt": None}}


def condition(situation: Situation, phase: str, old: Obj | None) -> Obj | None:
    """None for pods that have never been restarted so."""
    if phase not in ("Succeeded", "Failed") and trigger_of(situation.pod, situation.seen):
        text = "container exited with restart policy rule"
        return {"status": "True", "reason": "RestartAllContainersStarted", "message": text}
    if old is None:
        return None
    reason = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "")
    return {"status": "False", "reason": reason}
