"""What to do next about a pod on this node: a pure function of the situation.

The order is upstream's (``computePodActions``): a sandbox with its network; init containers one
after the other, sidecars among them started and kept running; then all containers at once; a
container that ended starts again as its policy says, with a growing delay. A pod that is being
deleted, has run out of time or is done goes through TERMINATING and TERMINATED to CLEAN; nothing
leads back.

Invariant: no container is started while an earlier one of the same name may still run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sagong.api.meta import is_deleting
from sagong.api.types import Obj
from sagong.core.clock import parse_time
from sagong.node.pods import backoff, resize, restart_all
from sagong.node.pods.model import (
    Ending,
    Kind,
    Memory,
    ProbeKind,
    RunState,
    SeenContainer,
    SeenSandbox,
    Situation,
    Stage,
    Waiting,
)
from sagong.node.pods.spec import (
    containers_of,
    describe,
    is_host_network,
    is_outdated,
    is_sidecar,
    previous_statuses,
    restarts_after,
)

# Dead containers of one name that are kept, for lastState and `logs --previous` (upstream's 1).
DEAD_CONTAINERS_KEPT = 1
_TERMINAL = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class SetUpVolumes:
    """Mount all volumes of the pod; nothing else starts before."""


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    attempt: int


@dataclass(frozen=True, slots=True)
class KillSandbox:
    """Stop all containers of the pod and its sandboxes: it is to be made anew, or is done."""

    reason: str = ""  # an event's message; "" for none


@dataclass(frozen=True, slots=True)
class KillContainer:
    id: str
    name: str
    message: str
    probe: ProbeKind | None = None  # whose own grace period then counts
    is_resize: bool = False  # it starts again whatever its policy says


@dataclass(frozen=True, slots=True)
class StartContainer:
    name: str
    kind: Kind
    attempt: int
    sandbox: SeenSandbox


@dataclass(frozen=True, slots=True)
class ResizeContainers:
    """Change the limits of running containers, and of their pod, to what was agreed to."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestartAll:
    """Kill what runs, at once and without hooks, and remove containers in this order."""

    running: tuple[SeenContainer, ...]
    removed: tuple[SeenContainer, ...]


@dataclass(frozen=True, slots=True)
class RemoveDead:
    """Remove containers and sandboxes that nobody needs any more."""

    containers: tuple[str, ...]
    sandboxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Terminate:
    """Stop everything, gracefully (the pod's preStop hooks, SIGTERM, SIGKILL)."""


@dataclass(frozen=True, slots=True)
class TearDown:
    """Unmount volumes; remove sandboxes, cgroups and the pod's directory."""


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete the API object with grace 0 and its uid: nothing of it is left here."""


Action = (
    SetUpVolumes
    | CreateSandbox
    | KillSandbox
    | KillContainer
    | StartContainer
    | ResizeContainers
    | RestartAll
    | RemoveDead
    | Terminate
    | TearDown
    | DeletePod
)


@dataclass(frozen=True, slots=True)
class BackingOff:
    """A container whose restart is being delayed: an event is due."""

    name: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in order; what to remember; when to look again if nothing happens."""

    actions: tuple[Action, ...]
    memory: Memory
    backing_off: tuple[BackingOff, ...] = ()
    after_seconds: float | None = None


def plan(situation: Situation) -> Plan:
    """The next step. After it has been carried out, the caller observes and asks again."""
    memory = situation.memory
    if memory.stage is Stage.RUNNING:
        memory = _ending(situation)
    if memory.stage is Stage.TERMINATING:
        if not situation.seen.running and not _has_sandbox(situation):
            memory = replace(memory, stage=Stage.TERMINATED)
        else:
            return Plan((Terminate(),), memory)
    if memory.stage is Stage.TERMINATED:
        return Plan((TearDown(),), memory)
    if memory.stage is Stage.CLEAN:
        return Plan((DeletePod(),) if is_deleting(situation.pod) else (), memory)
    return _plan_running(replace_memory(situation, memory))


def replace_memory(situation: Situation, memory: Memory) -> Situation:
    return replace(situation, memory=memory)


def _has_sandbox(situation: Situation) -> bool:
    """Whether one is up, or died without being taken down."""
    return any(sandbox.ready or not sandbox.stopped for sandbox in situation.seen.sandboxes)


def _ending(situation: Situation) -> Memory:
    """Whether the pod's end begins now: deletion, deadline, or completion."""
    memory, pod = situation.memory, situation.pod
    if is_deleting(pod):
        return replace(memory, stage=Stage.TERMINATING)
    if (pod.get("status") or {}).get("phase") in _TERMINAL:
        return replace(memory, stage=Stage.TERMINATING)
    if (remaining := deadline_remaining(situation)) is not None and remaining <= 0:
        message = "Pod was active on the node longer than the specified deadline"
        return replace(memory, stage=Stage.TERMINATING, ending=Ending("DeadlineExceeded", message))
    if is_completed(situation):
        return replace(memory, stage=Stage.TERMINATING)
    return memory


def deadline_remaining(situation: Situation) -> float | None:
    """Seconds until ``activeDeadlineSeconds`` is over, counted from status.startTime."""
    deadline = situation.pod["spec"].get("activeDeadlineSeconds")
    started = (situation.pod.get("status") or {}).get("startTime")
    if deadline is None or not started:
        return None
    return parse_time(started) + float(deadline) - situation.now


def is_completed(situation: Situation) -> bool:
    """Whether every container has ended and none is to start again."""
    pod, seen = situation.pod, situation.seen
    if failed_init(situation) is not None:
        return not any(c.state is RunState.RUNNING for c in seen.containers)
    for container in containers_of(pod, Kind.MAIN):
        latest = seen.latest(container["name"])
        if latest is None or latest.state is not RunState.EXITED:
            return False
        if container["name"] in situation.memory.allocation.restarting:
            return False
        if restarts_after(pod, container, Kind.MAIN, latest.exit_code):
            return False
    return bool(containers_of(pod, Kind.MAIN))


def failed_init(situation: Situation) -> SeenContainer | None:
    """An init container that failed for good."""
    for container in containers_of(situation.pod, Kind.INIT):
        latest = situation.seen.latest(container["name"])
        if is_sidecar(container) or latest is None or latest.state is not RunState.EXITED:
            continue
        failed = latest.exit_code != 0
        if failed and not restarts_after(situation.pod, container, Kind.INIT, latest.exit_code):
            return latest
    return None


def _plan_running(situation: Situation) -> Plan:
    situation = _with_allocation(situation)
    steps = _Steps(situation)
    sandbox = situation.seen.sandbox
    if sandbox is None or not _is_usable(situation, sandbox):
        return _plan_sandbox(situation, steps, sandbox)
    steps.set_up_volumes()
    if (trigger := restart_all.trigger_of(situation.pod, situation.seen)) is not None:
        steps.restart_all(trigger)
        return steps.plan()
    active = situation.seen.in_sandbox(sandbox.id)
    for container in containers_of(situation.pod, Kind.EPHEMERAL):
        if situation.seen.latest(container["name"]) is None:
            steps.start(container, Kind.EPHEMERAL, sandbox)
    if _plan_init(situation, steps, sandbox, active):
        for container in containers_of(situation.pod, Kind.MAIN):
            _plan_main(situation, steps, sandbox, container)
    if updated := resize.to_update(situation.pod, situation.memory.allocation, situation.seen):
        steps.add(ResizeContainers(tuple(updated)))
    steps.collect_dead()
    return steps.plan()


def _with_allocation(situation: Situation) -> Situation:
    """Agree to what the spec asks for, or not; note what is in place."""
    allocation = situation.memory.allocation
    if situation.room is not None:
        allocation = resize.agree(situation.pod, allocation, situation.room)
    allocation = resize.settled(allocation, situation.seen)
    return replace_memory(situation, replace(situation.memory, allocation=allocation))


def _is_usable(situation: Situation, sandbox: SeenSandbox) -> bool:
    """Ready, the only ready one, and with an address unless it uses the node's network."""
    ready = [s for s in situation.seen.sandboxes if s.ready]
    if not sandbox.ready or len(ready) > 1:
        return False
    return bool(sandbox.ips) or is_host_network(situation.pod)


def _plan_sandbox(situation: Situation, steps: "_Steps", sandbox: SeenSandbox | None) -> Plan:
    """Make a sandbox; what is left of an earlier one is stopped first."""
    if sandbox is not None:
        gone = "Pod sandbox changed, it will be killed and re-created."
        if situation.seen.running or _has_sandbox(situation):
            steps.add(KillSandbox(gone))
            return steps.plan()
    steps.set_up_volumes()
    steps.add(CreateSandbox(sandbox.attempt + 1 if sandbox else 0))
    return steps.plan()


def _plan_init(
    situation: Situation,
    steps: "_Steps",
    sandbox: SeenSandbox,
    active: Mapping[str, SeenContainer],
) -> bool:
    """Take init containers on; whether the main ones may start."""
    pod = situation.pod
    # Once a regular container exists in this sandbox, initialisation is over for good; only
    # sidecars are still looked after.
    initialized = any(c["name"] in active for c in containers_of(pod, Kind.MAIN))
    for container in containers_of(pod, Kind.INIT):
        seen = active.get(container["name"])
        if is_sidecar(container):
            started = _plan_sidecar(situation, steps, sandbox, container)
            if not started and not initialized:
                return False
        elif not initialized:
            if seen is None or seen.state is RunState.UNKNOWN:
                steps.start(container, Kind.INIT, sandbox)
                return False
            if seen.state is not RunState.EXITED:
                return False
            if seen.exit_code != 0:
                steps.restart(container, Kind.INIT, sandbox, seen)
                return False
    return True


def _plan_sidecar(
    situation: Situation, steps: "_Steps", sandbox: SeenSandbox, container: Obj
) -> bool:
    """Keep a restartable init container running; whether it has started."""
    seen = situation.seen.in_sandbox(sandbox.id).get(container["name"])
    if seen is None:
        steps.start(container, Kind.INIT, sandbox)
        return False
    if seen.state is not RunState.RUNNING:
        if container["name"] in situation.memory.allocation.restarting:
            steps.start(container, Kind.INIT, sandbox)
        else:
            steps.restart(container, Kind.INIT, sandbox, seen)
        # One that started before does not hold up those after it while it restarts.
        return seen.started_at > 0 and "startupProbe" not in container
    if (kill := _kill_reason(situation, container, seen)) is not None:
        steps.add(kill)
        return False
    return "startupProbe" not in container or seen.id in situation.probes.started


def _plan_main(situation: Situation, steps: "_Steps", sandbox: SeenSandbox, container: Obj) -> None:
    seen = situation.seen.latest(container["name"])
    if seen is None:
        steps.start(container, Kind.MAIN, sandbox)
    elif seen.state is RunState.RUNNING:
        if (kill := _kill_reason(situation, container, seen)) is not None:
            steps.add(kill)
    elif seen.state is RunState.CREATED:
        # Made but never started: the agent died between the two.
        steps.start(container, Kind.MAIN, sandbox)
    elif container["name"] in situation.memory.allocation.restarting:
        steps.start(container, Kind.MAIN, sandbox)
    elif restarts_after(situation.pod, container, Kind.MAIN, seen.exit_code):
        if seen.sandbox_id != sandbox.id:
            # It ended with its sandbox, or for want of one: no crash of its own to wait out.
            steps.start(container, Kind.MAIN, sandbox)
        else:
            steps.restart(container, Kind.MAIN, sandbox, seen)


def _kill_reason(situation: Situation, container: Obj, seen: SeenContainer) -> KillContainer | None:
    """Why a running container must stop, in the words of upstream's Killing event."""
    name, probe = container["name"], situation.probes.failed.get(seen.id)
    if is_outdated(container, seen):
        message = f"Container {name} definition changed"
        return KillContainer(seen.id, name, f"{message}, will be restarted")
    if resize.needs_restart(container, situation.memory.allocation):
        message = f"Container {name} resize requires restart"
        return KillContainer(seen.id, name, message, is_resize=True)
    if probe is None:
        return None
    message = f"Container {name} failed {probe.value.lower()} probe"
    kind = Kind.INIT if is_sidecar(container) else Kind.MAIN
    # 137: what the kill will leave, which decides whether the policy starts it again.
    if restarts_after(situation.pod, container, kind, 137):
        message += ", will be restarted"
    return KillContainer(seen.id, name, message, probe)


class _Steps:
    """Collects actions, and what waits, for one plan."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._actions: list[Action] = []
        self._backing_off: list[BackingOff] = []
        self._crashes = dict(situation.memory.crashes)
        self._failures = dict(situation.memory.failures)
        self._removed = situation.memory.removed
        self._after: list[float] = []
        if (remaining := deadline_remaining(situation)) is not None:
            self._after.append(max(0.0, remaining))

    def add(self, action: Action) -> None:
        self._actions.append(action)

    def set_up_volumes(self) -> None:
        if not self._situation.volumes_ready:
            self.add(SetUpVolumes())

    def start(self, container: Obj, kind: Kind, sandbox: SeenSandbox) -> None:
        """Start at once: it has not run in this sandbox."""
        latest = self._situation.seen.latest(container["name"])
        attempt = latest.attempt + 1 if latest is not None else self._told_attempt(container, kind)
        if latest is not None and latest.state is RunState.CREATED:
            attempt = latest.attempt
            self.add(RemoveDead((latest.id,), ()))
        self.add(StartContainer(container["name"], kind, attempt, sandbox))

    def _told_attempt(self, container: Obj, kind: Kind) -> int:
        """The attempt of a container that the runtime has forgotten (a reboot, a purge): the one
        after that of the last status."""
        removed = self._situation.memory.removed.get(container["name"], -1)
        told = previous_statuses(self._situation.pod, kind).get(container["name"], {})
        count = int(told.get("restartCount") or 0)
        if not restart_all.is_told(told):
            count = count + 1 if told.get("containerID") else 0
        return max(count, removed + 1)

    def restart_all(self, trigger: SeenContainer) -> None:
        """Start everything anew, unless the delay since the one that wants it ended is not over."""
        is_begun = self._removed.get(trigger.name) == trigger.attempt
        if is_begun or self._is_due(trigger.name, trigger):
            seen = self._situation.seen
            found = restart_all.removable(self._situation.pod, seen, trigger)
            self.add(RestartAll(tuple(seen.running), found))
            self._removed = {**self._removed, **restart_all.attempts(found)}

    def restart(
        self, container: Obj, kind: Kind, sandbox: SeenSandbox, ended: SeenContainer
    ) -> None:
        """Start again, unless the delay since it ended is not over."""
        if self._is_due(container["name"], ended):
            self.start(container, kind, sandbox)

    def _is_due(self, name: str, ended: SeenContainer) -> bool:
        """Whether the back-off allows another attempt, which then is counted."""
        situation = self._situation
        longest = situation.crash_back_off_max_seconds
        ended_at = ended.finished_at or ended.created_at
        entry = self._crashes.get(name)
        due = backoff.waits_until(entry, ended_at, max_seconds=longest)
        if entry is not None and due > situation.now:
            delay = backoff.format_duration(entry.delay_seconds)
            where = f"container={name} pod={describe(situation.pod)}"
            message = f"back-off {delay} restarting failed {where}"
            self._failures[name] = Waiting("CrashLoopBackOff", message)
            self._backing_off.append(BackingOff(name))
            self._after.append(due - situation.now)
            return False
        self._crashes[name] = backoff.raised(
            entry, ended_at, now=situation.now, max_seconds=longest
        )
        return True

    def collect_dead(self) -> None:
        """Dead containers past those kept, and dead sandboxes that hold none that is kept."""
        seen = self._situation.seen
        dead: list[str] = []
        kept: set[str] = set()
        for name in {c.name for c in seen.containers}:
            attempts = seen.attempts(name)
            ended = [c for c in attempts[1:] if c.state is not RunState.RUNNING]
            dead += [c.id for c in ended[DEAD_CONTAINERS_KEPT:]]
        kept = {c.sandbox_id for c in seen.containers if c.id not in dead}
        stale = [s.id for s in seen.sandboxes[1:] if not s.ready and s.id not in kept]
        if dead or stale:
            self.add(RemoveDead(tuple(dead), tuple(stale)))

    def plan(self) -> Plan:
        memory = replace(
            self._situation.memory,
            crashes=self._crashes,
            failures=self._failures,
            removed=self._removed,
        )
        stopped = {a.name for a in self._actions if isinstance(a, KillContainer) and a.is_resize}
        if stopped:
            restarting = memory.allocation.restarting | stopped
            memory = replace(memory, allocation=replace(memory.allocation, restarting=restarting))
        after = min(self._after) if self._after else None
        return Plan(tuple(self._actions), memory, tuple(self._backing_off), after)
