"""Restarting all containers of a pod in place: when, in what order, and what is told of it."""

from dataclasses import replace

from sagong.api.meta import condition
from sagong.api.types import Obj
from sagong.node.pods.lifecycle import RestartAll, StartContainer, plan
from sagong.node.pods.model import Kind, Memory
from sagong.node.pods.pod_status import pod_status

from .situations import SANDBOX, exited, pod, running, situation

RULE = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
OWN = pod(
    {"name": "worker"},
    {"name": "watcher", "restartPolicy": "Never", "restartPolicyRules": [RULE]},
    init=({"name": "init"},),
    restartPolicy="Never",
)
SEEN = (exited("watcher", 88), running("worker"), exited("init", 0))


def told(obj: Obj) -> Obj | None:
    return condition(obj, "AllContainersRestarting")


def test_one_container_restarts_all() -> None:
    steps = plan(situation(OWN, *SEEN))
    (action,) = steps.actions
    assert isinstance(action, RestartAll)
    assert [c.name for c in action.running] == ["worker"]
    # The one that tells that all this is to be done goes last.
    assert [c.name for c in action.removed] == ["worker", "init", "watcher"]
    assert steps.memory.removed == {"worker": 0, "init": 0, "watcher": 0}
    # Broken off, it goes on at once; what is left of it is enough to know.
    (again,) = plan(situation(OWN, exited("watcher", 88), memory=steps.memory)).actions
    assert isinstance(again, RestartAll)
    # Then the pod begins as it did at first, with the next attempts.
    (first,) = plan(situation(OWN, memory=steps.memory)).actions
    assert first == StartContainer("init", Kind.INIT, 1, SANDBOX)


def test_other_ends_restart_nothing_else() -> None:
    steps = plan(situation(OWN, exited("watcher", 1), running("worker"), exited("init", 0)))
    assert steps.actions == ()
    done = plan(situation(OWN, exited("watcher", 1), exited("worker", 0), exited("init", 0)))
    assert not any(isinstance(action, RestartAll) for action in done.actions)


def test_a_pod_that_does_so_again_and_again_is_held_up() -> None:
    memory = plan(situation(OWN, *SEEN)).memory
    second = tuple(replace(c, attempt=1) for c in SEEN)
    steps = plan(situation(OWN, *second, memory=memory))
    assert (steps.actions, steps.after_seconds) == ((), 5.0)
    assert steps.memory.failures["watcher"].reason == "CrashLoopBackOff"


def test_what_is_told_meanwhile_and_after() -> None:
    status = pod_status(situation(OWN, *SEEN))
    assert status["phase"] == "Running"
    started = told({"status": status}) or {}
    assert (started["status"], started["reason"], started["message"]) == (
        "True",
        "RestartAllContainersStarted",
        "container exited with restart policy rule",
    )
    memory = plan(situation(OWN, *SEEN)).memory
    status = pod_status(situation({**OWN, "status": status}, memory=memory))
    (ended,) = [c for c in status["conditions"] if c["type"] == "AllContainersRestarting"]
    assert (ended["status"], "reason" in ended) == ("False", False)
    worker = status["containerStatuses"][0]
    text = "The container is removed because RestartAllContainers in place"
    waiting = {"reason": "RestartingAllContainers", "message": text}
    assert worker["state"] == {"waiting": waiting}
    assert worker["lastState"]["terminated"]["exitCode"] == 137
    assert worker["restartCount"] == 1
    # An agent that begins anew has only what was told.
    (first,) = plan(situation({**OWN, "status": status}, memory=Memory())).actions
    assert first == StartContainer("init", Kind.INIT, 1, SANDBOX)
    anew = running("worker", attempt=1)
    status = pod_status(situation({**OWN, "status": status}, anew, memory=memory))
    worker = status["containerStatuses"][0]
    assert (worker["restartCount"], "running" in worker["state"]) == (1, True)
    assert worker["lastState"]["terminated"]["reason"] == "RestartingAllContainers"


def test_pods_that_never_did_so_have_no_such_condition() -> None:
    assert told({"status": pod_status(situation(OWN, running("worker")))}) is None
