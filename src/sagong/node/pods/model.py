"""What the agent sees of a pod at the runtime, and what it remembers of it between two looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from sagong.api.types import Obj


class RunState(Enum):
    """The state of a container at the runtime (CRI ContainerState)."""

    CREATED = 0
    RUNNING = 1
    EXITED = 2
    UNKNOWN = 3


class Kind(Enum):
    """Which list of the pod's spec a container stands in."""

    INIT = "initContainers"
    MAIN = "containers"
    EPHEMERAL = "ephemeralContainers"


class ProbeKind(Enum):
    """Upstream's names, as they appear in events."""

    STARTUP = "Startup"
    READINESS = "Readiness"
    LIVENESS = "Liveness"


@dataclass(frozen=True, slots=True)
class SeenContainer:
    """One container at the runtime. Times are seconds since the epoch, 0 where not reached."""

    id: str
    name: str
    sandbox_id: str
    attempt: int  # restart count
    state: RunState
    created_at: float
    image: str = ""
    image_ref: str = ""
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""  # the termination message, or the runtime's own
    spec_hash: str = ""
    log_path: str = ""


@dataclass(frozen=True, slots=True)
class SeenSandbox:
    id: str
    attempt: int
    ready: bool
    created_at: float
    ips: tuple[str, ...] = ()
    # We have had it stopped: its network is taken down. One that died by itself is not ready
    # either, but holds its network namespace, link and address until somebody stops it.
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class SeenPod:
    """All that the runtime has of one pod; sandboxes and containers newest first."""

    uid: str
    name: str
    namespace: str
    sandboxes: tuple[SeenSandbox, ...] = ()
    containers: tuple[SeenContainer, ...] = ()
    # From an annotation; what an orphan's containers are given to stop.
    grace_seconds: int = 30

    @property
    def sandbox(self) -> SeenSandbox | None:
        """The newest sandbox."""
        return self.sandboxes[0] if self.sandboxes else None

    def latest(self, name: str) -> SeenContainer | None:
        return next((c for c in self.containers if c.name == name), None)

    def attempts(self, name: str) -> Sequence[SeenContainer]:
        return [c for c in self.containers if c.name == name]

    def in_sandbox(self, sandbox_id: str) -> Mapping[str, SeenContainer]:
        """The newest container of each name in one sandbox."""
        found: dict[str, SeenContainer] = {}
        for container in self.containers:
            if container.sandbox_id == sandbox_id:
                found.setdefault(container.name, container)
        return found

    @property
    def running(self) -> Sequence[SeenContainer]:
        return [c for c in self.containers if c.state is RunState.RUNNING]


@dataclass(frozen=True, slots=True)
class ProbeView:
    """Probe results by container id. A container without a probe of a kind is in no set."""

    started: frozenset[str] = frozenset()
    ready: frozenset[str] = frozenset()
    failed: Mapping[str, ProbeKind] = field(default_factory=dict)  # startup or liveness


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run: the waiting state that users see."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class BackOff:
    """One entry of an exponential back-off: the delay, and when it was last raised."""

    delay_seconds: float
    updated_at: float


class Stage(Enum):
    """Where a pod is in its life on this node; it only ever goes forward."""

    RUNNING = "running"
    TERMINATING = "terminating"  # containers are being stopped
    TERMINATED = "terminated"  # none runs; volumes and cgroups may go
    CLEAN = "clean"  # nothing is left on the node but logs


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the agent itself ended the pod, as it shows in status (reason, message)."""

    reason: str
    message: str
    is_refusal: bool = False  # nothing of the pod was ever started
    is_disruption: bool = False  # told by the condition DisruptionTarget
    disruption: str = ""  # what that says, if not the message
    grace_seconds: float | None = None  # in place of the pod's own


@dataclass(frozen=True, slots=True)
class Pending:
    """A resize that the node does not take up: the reason and message of PodResizePending."""

    reason: str  # Deferred or Infeasible
    message: str


@dataclass(frozen=True, slots=True)
class Allocation:
    """The resources of one pod's containers, by name: {"requests": ..., "limits": ...}.

    The spec says what is wanted; ``allocated`` is what the node has agreed to, and ``actuated``
    what the running containers have.
    """

    allocated: Mapping[str, Obj] = field(default_factory=dict)
    actuated: Mapping[str, Obj] = field(default_factory=dict)
    pending: Pending | None = None
    error: str = ""  # why what was agreed to could not be carried out
    # Containers that were stopped only to start again with other resources.
    restarting: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Memory:
    """What a worker remembers of one pod. Losing it costs a back-off, never correctness."""

    crashes: Mapping[str, BackOff] = field(default_factory=dict)  # by container name
    failures: Mapping[str, Waiting] = field(default_factory=dict)  # why the last start failed
    ending: Ending | None = None
    stage: Stage = Stage.RUNNING
    allocation: Allocation = Allocation()
    # The last attempt of containers that were removed so that all start anew, by name.
    removed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Room:
    """What the node has, and what its other pods have been promised; units of ``pod_requests``."""

    allocatable: Mapping[str, int]
    used: Mapping[str, int]
    infeasible: Mapping[str, str] = field(default_factory=dict)  # why not at all, by resource


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that the next decision about a pod depends on."""

    pod: Obj
    seen: SeenPod
    probes: ProbeView
    memory: Memory
    now: float
    volumes_ready: bool = True  # all volumes are mounted
    room: Room | None = None  # set while the pod asks for other resources than it has
    host_ips: Sequence[str] = ()
    crash_back_off_max_seconds: float = 300.0
    # By main container what its status tells of devices (allocatedResourcesStatus).
    device_health: Mapping[str, Sequence[Obj]] = field(default_factory=dict)
