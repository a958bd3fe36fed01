"""A pod's status as tables: phases, conditions, container states."""

from dataclasses import replace

import pytest

from sagong.api.types import Obj
from sagong.node.pods.model import (
    Ending,
    Memory,
    ProbeView,
    SeenContainer,
    Situation,
    Stage,
    Waiting,
)
from sagong.node.pods.pod_status import pod_status

from .situations import SANDBOX, exited, pod, running, situation

ONE = pod({"name": "c"})
JOB = pod({"name": "c"}, restartPolicy="Never")
INIT = pod({"name": "c"}, init=({"name": "i"},))
ENDED = Memory(stage=Stage.TERMINATED)


def condition(status: Obj, type_: str) -> Obj:
    return dict(next(c for c in status["conditions"] if c["type"] == type_))


@pytest.mark.parametrize(
    ("given", "phase"),
    [
        (situation(ONE, sandbox=None), "Pending"),
        (situation(ONE, running("c")), "Running"),
        (situation(ONE, exited("c", 1)), "Running"),
        (situation(INIT, running("i")), "Pending"),
        (situation(INIT, running("c"), exited("i", 0)), "Running"),
        # Terminal phases wait for the end to have been carried out.
        (situation(JOB, exited("c", 0)), "Running"),
        (situation(JOB, exited("c", 0), memory=ENDED), "Succeeded"),
        (situation(JOB, exited("c", 2), memory=ENDED), "Failed"),
        (situation(ONE, memory=ENDED), "Failed"),
        (situation({**JOB, "status": {"phase": "Failed"}}, exited("c", 0)), "Failed"),
    ],
)
def test_phase(given: Situation, phase: str) -> None:
    assert pod_status(given)["phase"] == phase


def test_before_anything_runs() -> None:
    status = pod_status(situation(INIT, sandbox=None))
    for listed in ("initContainerStatuses", "containerStatuses"):
        assert status[listed][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    initialized = condition(status, "Initialized")
    assert initialized["reason"] == "ContainersNotInitialized"
    assert initialized["message"] == "containers with incomplete status: [i]"
    ready = condition(status, "Ready")
    assert (ready["reason"], ready["status"]) == ("ContainersNotReady", "False")
    assert ready["message"] == "containers with unready status: [c]"
    assert condition(status, "PodReadyToStartContainers")["status"] == "False"
    assert ready["observedGeneration"] == status["observedGeneration"] == 1
    plain = pod_status(situation(ONE, sandbox=None))
    assert plain["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_readiness() -> None:
    probed = pod({"name": "c", "readinessProbe": {}})
    unready = pod_status(situation(probed, running("c")))["containerStatuses"][0]
    assert (unready["started"], unready["ready"]) == (True, False)
    probes = ProbeView(ready=frozenset({"c-0"}))
    status = pod_status(situation(probed, running("c"), probes=probes))
    assert condition(status, "Ready")["status"] == "True"
    gated = pod({"name": "c"}, readinessGates=[{"conditionType": "x/y"}])
    ready = condition(pod_status(situation(gated, running("c"))), "Ready")
    assert ready["reason"] == "ReadinessGatesNotReady"
    assert ready["message"] == (
        'corresponding condition of pod readiness gate "x/y" does not exist.'
    )


def test_a_container_in_back_off_waits_and_remembers_how_it_ended() -> None:
    memory = Memory(failures={"c": Waiting("CrashLoopBackOff", "back-off")})
    given = situation(ONE, exited("c", 3, attempt=1), memory=memory)
    (status,) = pod_status(given)["containerStatuses"]
    assert status["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["restartCount"] == 1


def test_a_container_that_was_lost() -> None:
    old = {"name": "c", "state": {"running": {}}, "restartCount": 2}
    lost = {**ONE, "status": {"containerStatuses": [old]}}
    (status,) = pod_status(situation(lost, memory=ENDED))["containerStatuses"]
    terminated = status["state"]["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("ContainerStatusUnknown", 137)
    assert status["restartCount"] == 2


def test_deadline_shows_its_reason() -> None:
    memory = replace(ENDED, ending=Ending("DeadlineExceeded", "too long"))
    status = pod_status(situation(ONE, exited("c", 0), memory=memory))
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
    assert condition(status, "Ready")["reason"] == "PodFailed"


@pytest.mark.parametrize("seen", [(), (running("c"),), (exited("c", 1),)])
def test_other_owners_conditions_and_transition_times_stay(
    seen: tuple[SeenContainer, ...],
) -> None:
    first = pod_status(situation(ONE, *seen))
    first["conditions"].append({"type": "PodScheduled", "status": "True"})
    again = pod_status(situation({**ONE, "status": first}, *seen, now=2_000_000.0))
    assert again == first


def test_addresses() -> None:
    status = pod_status(situation(ONE, running("c")))
    assert (status["podIP"], status["podIPs"]) == (SANDBOX.ips[0], [{"ip": SANDBOX.ips[0]}])
    assert status["hostIP"] == "192.0.2.1"
    host = pod_status(situation(pod({"name": "c"}, hostNetwork=True), running("c")))
    assert host["podIP"] == "192.0.2.1"
