"""In-place resize: what is agreed to, and what follows. Pure."""

from dataclasses import replace
from typing import Any

import pytest

from sagong.api.types import Obj
from sagong.node.pods import lifecycle, resize, resize_events
from sagong.node.pods.lifecycle import KillContainer, ResizeContainers, StartContainer
from sagong.node.pods.model import Allocation, Memory, Pending, Room, SeenPod
from sagong.node.pods.pod_status import pod_status

from .situations import NOW, SANDBOX, exited, pod, running, situation

ROOM = Room({"cpu": 1000, "memory": 1 << 30}, {"cpu": 500})


def sized(cpu: str, **more: Any) -> Obj:
    return {"name": "a", "resources": {"requests": {"cpu": cpu}}, **more}


OLD = Allocation({"a": {"requests": {"cpu": "100m"}}}, {"a": {"requests": {"cpu": "100m"}}})


@pytest.mark.parametrize(
    ("cpu", "pending"),
    [
        ("500m", None),
        (
            "501m",
            Pending(
                "Deferred",
                "Node didn't have enough resource: cpu, requested: 501, used: 500, capacity: 1000",
            ),
        ),
        (
            "2",
            Pending(
                "Infeasible",
                "Node didn't have enough capacity: cpu, requested: 2000, capacity: 1000",
            ),
        ),
    ],
)
def test_what_a_node_agrees_to(cpu: str, pending: Pending | None) -> None:
    made = resize.agree(pod(sized(cpu)), OLD, ROOM)
    assert made.pending == pending
    agreed = cpu if pending is None else "100m"
    assert made.allocated == {"a": {"requests": {"cpu": agreed}}}
    assert made.actuated == OLD.actuated


def test_another_way_to_write_the_same_is_no_resize() -> None:
    assert not resize.is_resized(pod(sized("0.1")), OLD)


def test_a_withdrawn_wish_is_no_longer_pending() -> None:
    waiting = replace(OLD, pending=Pending("Deferred", "x"))
    assert resize.agree(pod(sized("100m")), waiting, ROOM).pending is None


def seen(*containers: Any) -> SeenPod:
    return SeenPod("u", "p", "ns", (SANDBOX,), containers)


def test_a_running_container_is_changed_under_way() -> None:
    about = situation(pod(sized("300m")), running("a"))
    about = replace(about, memory=Memory(allocation=OLD), room=ROOM)
    plan = lifecycle.plan(about)
    assert ResizeContainers(("a",)) in plan.actions
    status = pod_status(replace(about, memory=plan.memory))
    found = {c["type"]: c for c in status["conditions"]}
    assert found["PodResizeInProgress"]["status"] == "True"
    container = status["containerStatuses"][0]
    assert container["allocatedResources"] == {"cpu": "300m"}
    assert container["resources"] == {"requests": {"cpu": "100m"}}


def test_a_policy_may_want_a_restart_whatever_the_exit_code() -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    made = pod(sized("300m", resizePolicy=policy), restartPolicy="OnFailure")
    about = situation(made, running("a"))
    about = replace(about, memory=Memory(allocation=OLD), room=ROOM)
    plan = lifecycle.plan(about)
    (kill,) = [a for a in plan.actions if isinstance(a, KillContainer)]
    assert kill.message == "Container a resize requires restart"
    after = replace(about, seen=seen(exited("a", 0)), memory=plan.memory, room=None)
    plan = lifecycle.plan(after)
    assert any(isinstance(a, StartContainer) for a in plan.actions)
    assert not resize.is_in_progress(plan.memory.allocation)


def test_a_restarted_agent_goes_on_from_the_last_status() -> None:
    made = pod(sized("300m"))
    told = {"name": "a", "containerID": "containerd://x", "allocatedResources": {"cpu": "100m"}}
    made["status"] = {"containerStatuses": [{**told, "resources": {"requests": {"cpu": "100m"}}}]}
    assert resize.initial(made) == OLD
    assert resize.is_resized(made, resize.initial(made))
    fresh = pod(sized("300m"))
    assert resize.initial(fresh).allocated == {"a": {"requests": {"cpu": "300m"}}}


def test_what_was_agreed_to_is_what_starts() -> None:
    made = pod(sized("300m"))
    given = resize.as_allocated(made, OLD)["spec"]["containers"][0]["resources"]
    assert given == {"requests": {"cpu": "100m"}}
    assert made["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "300m"}}


def test_events() -> None:
    made = pod(sized("300m"))
    agreed = resize.agree(made, OLD, ROOM)
    started = list(resize_events.between(made, OLD, agreed))
    assert [(t, r) for t, r, _ in started] == [("Normal", "ResizeStarted")]
    done = list(resize_events.between(made, agreed, resize.actuate(agreed, "a")))
    assert done == [
        (
            "Normal",
            "ResizeCompleted",
            'Pod resize completed: {"containers":[{"name":"a","resources":'
            '{"requests":{"cpu":"300m"}}}],"generation":1}',
        )
    ]
    assert NOW


def levelled(cpu: str, *containers: Obj, status: Obj | None = None) -> Obj:
    made = pod(*containers, resources={"limits": {"cpu": cpu}, "requests": {"cpu": cpu}})
    return {**made, **({"status": status} if status else {})}


def test_a_pod_is_resized_with_what_its_containers_have_of_it() -> None:
    plain = {"name": "a"}
    anew = {
        "name": "b",
        "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}],
    }
    own = {"name": "c", "resources": {"limits": {"cpu": "10m"}, "requests": {"cpu": "10m"}}}
    old = resize.initial(levelled("100m", plain, anew, own))
    assert not resize.is_resized(levelled("0.1", plain, anew, own), old)
    new = levelled("200m", plain, anew, own)
    made = resize.agree(new, old, ROOM)
    assert made.pending is None
    assert resize.as_allocated(new, old)["spec"]["resources"]["limits"] == {"cpu": "100m"}
    seen = situation(new, *(running(n) for n in "abc")).seen
    # The one that keeps a limit of its own is not concerned; one wants to begin anew.
    assert resize.to_update(new, made, seen) == ["", "a"]
    assert resize.needs_restart(anew, made)
    status = pod_status(situation(new, running("a"), memory=Memory(allocation=made)))
    assert status["resources"]["limits"] == {"cpu": "100m"}
    assert status["allocatedResources"] == {"cpu": "200m"}
    for name in ("", "a", "b"):
        made = resize.actuate(made, name)
    assert not resize.is_in_progress(made)
    # An agent that begins anew sees nothing to be done.
    status = pod_status(
        situation(new, *(running(n) for n in "abc"), memory=Memory(allocation=made))
    )
    again = resize.initial(levelled("200m", plain, anew, own, status=status))
    assert not resize.is_resized(new, again)
    assert again.allocated[""] == {"requests": {"cpu": "200m"}, "limits": {"cpu": "200m"}}


def test_a_pod_that_asks_for_too_much_as_such() -> None:
    made = resize.agree(levelled("2", {"name": "a"}), OLD, ROOM)
    assert made.pending is not None
    assert made.pending.reason == "Infeasible"
