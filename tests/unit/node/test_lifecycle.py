"""What is done next about a pod, as tables; and laws that hold for whatever may be seen."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagong.node.pods.lifecycle import (
    CreateSandbox,
    DeletePod,
    KillContainer,
    KillSandbox,
    RemoveDead,
    SetUpVolumes,
    StartContainer,
    TearDown,
    Terminate,
    plan,
)
from sagong.node.pods.model import (
    BackOff,
    Kind,
    Memory,
    ProbeKind,
    ProbeView,
    RunState,
    SeenContainer,
    SeenSandbox,
    Stage,
    Waiting,
)

from .situations import NOW, SANDBOX, deleting, exited, pod, running, situation

ONE = pod({"name": "c"})


def start(name: str, kind: Kind = Kind.MAIN, attempt: int = 0) -> StartContainer:
    return StartContainer(name, kind, attempt, SANDBOX)


def test_volumes_come_first_then_the_sandbox() -> None:
    steps = plan(situation(ONE, sandbox=None, volumes_ready=False))
    assert steps.actions == (SetUpVolumes(), CreateSandbox(0))


def test_containers_start_together() -> None:
    both = pod({"name": "a"}, {"name": "b"})
    assert plan(situation(both)).actions == (start("a"), start("b"))


def test_a_settled_pod_needs_nothing() -> None:
    steps = plan(situation(ONE, running("c")))
    assert (steps.actions, steps.after_seconds) == ((), None)


INITS = pod({"name": "c"}, init=({"name": "one"}, {"name": "two"}))
SIDE = {"name": "side", "restartPolicy": "Always"}
SIDECAR = pod({"name": "c"}, init=(SIDE, {"name": "two"}))
PROBED = pod({"name": "c"}, init=({**SIDE, "startupProbe": {}}, {"name": "two"}))


@pytest.mark.parametrize(
    ("obj", "seen", "expected"),
    [
        (INITS, (), (start("one", Kind.INIT),)),
        (INITS, (running("one"),), ()),
        (INITS, (exited("one", 0),), (start("two", Kind.INIT),)),
        (INITS, (exited("two", 0), exited("one", 0)), (start("c"),)),
        (INITS, (exited("one", 1),), (start("one", Kind.INIT, 1),)),
        (SIDECAR, (), (start("side", Kind.INIT),)),
        (SIDECAR, (running("side"),), (start("two", Kind.INIT),)),
        (PROBED, (running("side"),), ()),
        (SIDECAR, (exited("two", 0), running("side")), (start("c"),)),
        (SIDECAR, (running("c"), exited("two", 0), exited("side", 0)),
         (start("side", Kind.INIT, 1),)),
    ],
)  # fmt: skip
def test_init_containers_run_in_order(
    obj: dict[str, object], seen: tuple[SeenContainer, ...], expected: tuple[object, ...]
) -> None:
    assert plan(situation(obj, *seen)).actions == expected


def test_a_started_sidecar_lets_the_next_begin() -> None:
    probes = ProbeView(started=frozenset({"side-0"}))
    steps = plan(situation(PROBED, running("side"), probes=probes))
    assert steps.actions == (start("two", Kind.INIT),)


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [("Always", 0, True), ("Always", 1, True), ("OnFailure", 0, False),
     ("OnFailure", 1, True), ("Never", 0, False), ("Never", 1, False)],
)  # fmt: skip
def test_restart_policies(policy: str, code: int, restarts: bool) -> None:
    obj = pod({"name": "c"}, {"name": "other"}, restartPolicy=policy)
    steps = plan(situation(obj, running("other"), exited("c", code)))
    assert steps.actions == ((start("c", attempt=1),) if restarts else ())


def test_a_second_crash_waits_and_says_so() -> None:
    memory = Memory(crashes={"c": BackOff(10.0, NOW - 6)})
    steps = plan(situation(ONE, exited("c", 1, attempt=1), memory=memory))
    assert steps.actions == ()
    assert steps.after_seconds == pytest.approx(5.0)
    assert steps.memory.failures["c"] == Waiting(
        "CrashLoopBackOff", "back-off 10s restarting failed container=c pod=p_ns(u)"
    )


def test_back_off_doubles_to_its_limit_and_starts_over() -> None:
    delay = 160.0
    for expected in (300.0, 300.0):
        ended = exited("c", 1, finished_at=NOW - 301)
        memory = Memory(crashes={"c": BackOff(delay, NOW - 310)})
        delay = plan(situation(ONE, ended, memory=memory)).memory.crashes["c"].delay_seconds
        assert delay == expected
    old = Memory(crashes={"c": BackOff(300.0, NOW - 700)})
    fresh = plan(situation(ONE, exited("c", 1), memory=old))
    assert fresh.memory.crashes["c"].delay_seconds == 10.0


def test_probes_and_changes_of_the_image_kill() -> None:
    failed = ProbeView(failed={"c-0": ProbeKind.LIVENESS})
    assert plan(situation(ONE, running("c"), probes=failed)).actions == (
        KillContainer("c-0", "c", "Container c failed liveness probe, will be restarted",
                      ProbeKind.LIVENESS),
    )  # fmt: skip
    never = pod({"name": "c"}, restartPolicy="Never")
    (kill,) = plan(situation(never, running("c"), probes=failed)).actions
    assert isinstance(kill, KillContainer)
    assert kill.message == "Container c failed liveness probe"
    changed = pod({"name": "c", "image": "i:2"})
    (kill,) = plan(situation(changed, running("c"))).actions
    assert isinstance(kill, KillContainer)
    assert kill.message == "Container c definition changed, will be restarted"


def test_a_dead_sandbox_is_replaced() -> None:
    dead = replace(SANDBOX, ready=False)
    # Nobody has taken its network down yet.
    steps = plan(situation(ONE, exited("c", 137), sandbox=dead))
    assert [type(action) for action in steps.actions] == [KillSandbox]
    stopped = replace(dead, stopped=True)
    steps = plan(situation(ONE, exited("c", 137), sandbox=stopped))
    assert steps.actions == (CreateSandbox(1),)
    steps = plan(situation(ONE, running("c"), sandbox=dead))
    assert [type(action) for action in steps.actions] == [KillSandbox]
    fresh = SeenSandbox("s1", 1, True, NOW, ("10.0.0.10",))
    steps = plan(situation(ONE, exited("c", 137), sandbox=fresh))
    assert steps.actions == (StartContainer("c", Kind.MAIN, 1, fresh),)


def test_the_end_of_a_pod() -> None:
    ending = deleting(ONE)
    steps = plan(situation(ending, running("c")))
    assert (steps.actions, steps.memory.stage) == ((Terminate(),), Stage.TERMINATING)
    stopped = replace(SANDBOX, ready=False, stopped=True)
    steps = plan(situation(ending, exited("c", 0), sandbox=stopped, memory=steps.memory))
    assert (steps.actions, steps.memory.stage) == ((TearDown(),), Stage.TERMINATED)
    clean = replace(steps.memory, stage=Stage.CLEAN)
    assert plan(situation(ending, sandbox=None, memory=clean)).actions == (DeletePod(),)
    # A completed pod that nobody deletes stays in the API.
    assert plan(situation(ONE, sandbox=None, memory=clean)).actions == ()


def test_completion_and_deadline_end_it_too() -> None:
    job = pod({"name": "c"}, restartPolicy="Never")
    assert plan(situation(job, exited("c", 0))).actions == (Terminate(),)
    late = {**pod({"name": "c"}, activeDeadlineSeconds=10), "status": {}}
    late["status"] = {"startTime": "1970-01-12T13:46:30Z"}  # NOW - 10
    steps = plan(situation(late, running("c")))
    assert steps.memory.ending is not None
    assert steps.memory.ending.reason == "DeadlineExceeded"


def test_an_init_container_that_failed_for_good_ends_the_pod() -> None:
    job = pod({"name": "c"}, init=({"name": "one"},), restartPolicy="Never")
    assert plan(situation(job, exited("one", 1))).actions == (Terminate(),)


def test_only_one_dead_container_is_kept() -> None:
    seen = (running("c", 3), exited("c", 1, 2), exited("c", 1, 1), exited("c", 1, 0))
    assert plan(situation(ONE, *seen)).actions == (RemoveDead(("c-1", "c-0"), ()),)


# Laws -----------------------------------------------------------------------------------------

NAMES = ("one", "side", "a", "b")


@st.composite
def containers(draw: st.DrawFn) -> tuple[SeenContainer, ...]:
    found = []
    for name in NAMES:
        for attempt in range(draw(st.integers(0, 2))):
            older = exited(name, draw(st.integers(0, 2)), attempt)
            state = draw(st.sampled_from(list(RunState)))
            newest = replace(running(name, attempt), state=state)
            found.append(draw(st.sampled_from([older, newest])))
    return tuple(sorted(found, key=lambda c: c.created_at, reverse=True))


@st.composite
def situations(draw: st.DrawFn):  # type: ignore[no-untyped-def]
    inits = ({"name": "one"}, {"name": "side", "restartPolicy": "Always"})
    policy = draw(st.sampled_from(["Always", "OnFailure", "Never"]))
    obj = pod({"name": "a"}, {"name": "b"}, init=inits, restartPolicy=policy)
    if draw(st.booleans()):
        obj = deleting(obj)
    sandbox = draw(st.sampled_from([None, SANDBOX, replace(SANDBOX, ready=False)]))
    memory = Memory(stage=draw(st.sampled_from(list(Stage))))
    return situation(obj, *draw(containers()), sandbox=sandbox, memory=memory)


@settings(max_examples=300, deadline=None)
@given(situations())
def test_laws(seen) -> None:  # type: ignore[no-untyped-def]
    steps = plan(seen)
    starts = [a for a in steps.actions if isinstance(a, StartContainer)]
    for action in starts:
        latest = seen.seen.latest(action.name)
        assert latest is None or latest.state is not RunState.RUNNING, "started while it runs"
        assert seen.seen.sandbox is not None, "started without a sandbox"
        assert seen.seen.sandbox.ready
        assert "deletionTimestamp" not in seen.pod["metadata"], "started while being deleted"
    if any(a.kind is Kind.MAIN for a in starts):
        active = seen.seen.in_sandbox("s0")
        begun = any(name in active for name in ("a", "b"))
        done = active.get("one") is not None and active["one"].exit_code == 0
        assert begun or done, "main container started before initialisation"
    order = list(Stage)
    assert order.index(steps.memory.stage) >= order.index(seen.memory.stage), "went back"
    if any(isinstance(a, TearDown | DeletePod) for a in steps.actions):
        assert seen.memory.stage in (Stage.TERMINATED, Stage.CLEAN) or not seen.seen.running
