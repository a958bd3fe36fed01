"""The life of one pod on a pretended node: stages, times, and the status that a kubelet reports.

Synchronous: ``fleet.py`` tells it the time and writes what it says. No container runs. Statuses
follow upstream's kubelet as far as the API can show them.
"""

import random
from dataclasses import dataclass, field
from enum import Enum

from sagong.api.meta import annotations_of, condition
from sagong.api.types import Key, Obj
from sagong.core.clock import format_time

# Annotations with which a pod says how its containers behave.
RUNS_SECONDS = "sim.sagong.dev/runs-seconds"  # they end by themselves after so long
# ... with this code; 0 if not given. Several, with commas: of the first run, the second, and so on.
EXIT_CODE = "sim.sagong.dev/exit-code"
START_SECONDS = "sim.sagong.dev/start-seconds"
READY_SECONDS = "sim.sagong.dev/ready-seconds"  # from running to ready
STOP_SECONDS = "sim.sagong.dev/stop-seconds"  # from the signal to the end
NOT_READY = "sim.sagong.dev/not-ready"  # "true": the readiness probe fails, until this goes
PULL_FAILURES = "sim.sagong.dev/pull-failures"  # so many pulls fail before one succeeds

BACKOFF_FIRST_SECONDS = 10.0  # the kubelet's, for restarts and for pulls
BACKOFF_MAX_SECONDS = 300.0
SIGNALLED = 143  # exit code of a container that was told to end
MACHINE_DIED = 255  # what is told of a container that nobody saw end


class Stage(Enum):
    CREATING = "creating"
    PULL_BACKOFF = "pull back-off"
    RUNNING = "running, not ready"
    READY = "ready"
    CRASHED = "crash loop"
    ENDED = "ended"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Profile:
    """How pods behave that do not say: ranges in seconds, probabilities of each start."""

    start_seconds: tuple[float, float] = (1.0, 3.0)
    ready_seconds: tuple[float, float] = (0.0, 1.0)
    stop_seconds: tuple[float, float] = (0.5, 2.0)
    pull_fails: float = 0.0
    crashes: float = 0.0  # the container ends with code 1 soon after it has started
    crash_seconds: tuple[float, float] = (0.5, 5.0)


USUAL = Profile()


@dataclass(slots=True)
class Life:
    """What the node remembers of a pod."""

    key: Key
    uid: str
    node: str
    node_ip: str
    ip: str
    began_at: float  # wall clock
    random: random.Random
    profile: Profile
    stage: Stage = Stage.CREATING
    restarts: int = 0
    pulls_failed: int = 0
    exit_code: int | None = None  # of the last run
    started_at: float = 0.0
    ended_at: float = 0.0
    changed_at: dict[str, tuple[str, str]] = field(default_factory=dict)
    told: bool = False  # has the API heard of it?
    due_at: float = 0.0  # when the next stage comes, wall clock
    deleting: bool = False
    stops_at: float = float("inf")

    def is_running(self) -> bool:
        """Does a container of it run?"""
        return self.stage in (Stage.RUNNING, Stage.READY)

    def is_contradicted(self, pod: Obj) -> bool:
        """Does the API say something else of the pod's readiness than was last reported?"""
        said = self.changed_at.get("Ready")
        shown = condition(pod, "Ready")
        return said is not None and shown is not None and shown["status"] != said[0]

    def first_wait_seconds(self, pod: Obj) -> float:
        """From being bound to the first change."""
        return self._seconds(pod, START_SECONDS, self.profile.start_seconds)

    def advance(self, pod: Obj, now: float) -> float | None:
        """Go to the next stage; the seconds until the one after it, None if this one stays."""
        match self.stage:
            case Stage.CREATING | Stage.PULL_BACKOFF if self._pull_fails(pod):
                self.stage, self.pulls_failed = Stage.PULL_BACKOFF, self.pulls_failed + 1
                return _backoff(self.pulls_failed - 1)
            case Stage.CREATING | Stage.PULL_BACKOFF | Stage.CRASHED:
                if self.stage is Stage.CRASHED:
                    self.restarts += 1
                self.stage, self.started_at = Stage.RUNNING, now
                ready_in = self._seconds(pod, READY_SECONDS, self.profile.ready_seconds)
                if ready_in > 0:
                    return ready_in
                self.stage = Stage.READY
                return self._runs_seconds(pod)
            case Stage.RUNNING:
                self.stage = Stage.READY
                return self._runs_seconds(pod)
            case Stage.READY:
                return self._end_run(pod, now)
            case _:
                return None

    def stop(self, now: float) -> None:
        """The containers have ended for good, by our signal unless by themselves before."""
        if self.stage is Stage.ENDED:
            return
        if self.stage is not Stage.CRASHED:
            self.exit_code, self.ended_at = SIGNALLED, now
        self.started_at = self.started_at or now
        self.stage = Stage.ENDED

    def lose_containers(self, pod: Obj, now: float) -> None:
        """The machine died: what ran is gone, and starts again (or not) when it is back."""
        if self.is_running():
            wait = self._ended(pod, now, MACHINE_DIED)
            self.due_at = float("inf") if wait is None else now

    def note_deletion(self, pod: Obj, now: float) -> None:
        """The API says that the pod is to end; its grace period bounds how long that takes."""
        grace = pod["metadata"].get("deletionGracePeriodSeconds")
        bound = float(grace if grace is not None else 30)
        if not self.deleting:
            wanted = self._seconds(pod, STOP_SECONDS, self.profile.stop_seconds)
            self.stops_at = now + wanted
        self.deleting = True
        self.stops_at = min(self.stops_at, now + bound)

    def note_annotations(self, pod: Obj, now: float) -> None:
        """A running pod is told how long it runs, or otherwise than before."""
        if self.stage is Stage.READY and RUNS_SECONDS in annotations_of(pod):
            self.due_at = now + float(annotations_of(pod)[RUNS_SECONDS])

    def _end_run(self, pod: Obj, now: float) -> float | None:
        annotations = annotations_of(pod)
        if RUNS_SECONDS not in annotations:
            return self._ended(pod, now, 1)
        codes = annotations.get(EXIT_CODE, "0").split(",")
        return self._ended(pod, now, int(codes[min(self.restarts, len(codes) - 1)]))

    def _ended(self, pod: Obj, now: float, code: int) -> float | None:
        self.exit_code, self.ended_at = code, now
        policy = pod["spec"].get("restartPolicy") or "Always"
        if policy == "Always" or (policy == "OnFailure" and code):
            self.stage = Stage.CRASHED
            return _backoff(self.restarts)
        self.stage = Stage.ENDED
        return None

    def _runs_seconds(self, pod: Obj) -> float | None:
        said = annotations_of(pod).get(RUNS_SECONDS)
        if said is not None:
            return float(said)
        if self.random.random() < self.profile.crashes:
            return self.random.uniform(*self.profile.crash_seconds)
        return None

    def _pull_fails(self, pod: Obj) -> bool:
        said = annotations_of(pod).get(PULL_FAILURES)
        if said is not None:
            return self.pulls_failed < int(said)
        return self.random.random() < self.profile.pull_fails

    def _seconds(self, pod: Obj, annotation: str, range_: tuple[float, float]) -> float:
        said = annotations_of(pod).get(annotation)
        return float(said) if said is not None else self.random.uniform(*range_)

    # What the API shows

    def status(self, pod: Obj, now: float) -> Obj:
        """The pod's status, all of what a kubelet owns of it."""
        broken = annotations_of(pod).get(NOT_READY) == "true"
        ready = self.stage is Stage.READY and not self.deleting and not broken
        started = format_time(self.began_at)
        return {
            "phase": self._phase(),
            "hostIP": self.node_ip,
            "hostIPs": [{"ip": self.node_ip}],
            "podIP": self.ip,
            "podIPs": [{"ip": self.ip}],
            "startTime": started,
            "observedGeneration": pod["metadata"].get("generation"),
            "conditions": self._conditions(pod, ready, now),
            "containerStatuses": [
                self._container(c, ready) for c in pod["spec"].get("containers") or ()
            ],
        } | self._init_containers(pod)

    def _phase(self) -> str:
        if self.stage is Stage.ENDED:
            return "Failed" if self.exit_code else "Succeeded"
        return "Pending" if self.stage in (Stage.CREATING, Stage.PULL_BACKOFF) else "Running"

    def _conditions(self, pod: Obj, ready: bool, now: float) -> list[Obj]:
        present = (pod.get("status") or {}).get("conditions") or ()
        true = {c["type"] for c in present if c["status"] == "True"}
        gates = [g["conditionType"] for g in pod["spec"].get("readinessGates") or ()]
        up = self.stage not in (Stage.CREATING, Stage.ENDED)
        why = "PodCompleted" if self._phase() == "Succeeded" else "ContainersNotReady"
        pod_ready = ready and all(gate in true for gate in gates)
        gate_why = "ReadinessGatesNotReady" if ready else why
        return [
            self._condition("PodReadyToStartContainers", up, "", now),
            self._condition("Initialized", True, "", now),
            self._condition("Ready", pod_ready, "" if pod_ready else gate_why, now),
            self._condition("ContainersReady", ready, "" if ready else why, now),
        ]

    def _condition(self, type_: str, true: bool, reason: str, now: float) -> Obj:
        status = "True" if true else "False"
        if self.changed_at.get(type_, ("", ""))[0] != status:
            self.changed_at[type_] = (status, format_time(now))
        made = {"type": type_, "status": status, "lastTransitionTime": self.changed_at[type_][1]}
        return made | ({"reason": reason} if reason else {})

    def _container(self, container: Obj, ready: bool) -> Obj:
        status: Obj = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "" if not self.started_at else f"sim://{container['image']}",
            "ready": ready,
            "started": self.is_running(),
            "restartCount": self.restarts,
            "state": self._state(),
            "lastState": {},
        }
        if self.started_at:
            status["containerID"] = f"sim://{self.uid}-{container['name']}-{self.restarts}"
        if self.exit_code is not None and self.stage is not Stage.ENDED:
            status["lastState"] = {"terminated": self._terminated()}
        return status

    def _state(self) -> Obj:
        match self.stage:
            case Stage.CREATING:
                return {"waiting": {"reason": "ContainerCreating"}}
            case Stage.PULL_BACKOFF:
                return {"waiting": {"reason": "ImagePullBackOff"}}
            case Stage.CRASHED:
                return {"waiting": {"reason": "CrashLoopBackOff"}}
            case Stage.RUNNING | Stage.READY:
                return {"running": {"startedAt": format_time(self.started_at)}}
            case _:
                return {"terminated": self._terminated()}

    def _terminated(self) -> Obj:
        return {
            "exitCode": self.exit_code or 0,
            "reason": "Error" if self.exit_code else "Completed",
            "startedAt": format_time(self.started_at),
            "finishedAt": format_time(self.ended_at),
        }

    def _init_containers(self, pod: Obj) -> Obj:
        found = pod["spec"].get("initContainers") or ()
        if not found:
            return {}
        at = format_time(self.began_at)
        done = {"exitCode": 0, "reason": "Completed", "startedAt": at, "finishedAt": at}
        return {
            "initContainerStatuses": [
                self._container(c, self.is_running())
                if c.get("restartPolicy") == "Always"
                else {
                    "name": c["name"],
                    "image": c["image"],
                    "imageID": "",
                    "ready": True,
                    "restartCount": 0,
                    "state": {"terminated": done},
                }
                for c in found
            ]
        }


def _backoff(failures: int) -> float:
    return float(min(BACKOFF_FIRST_SECONDS * 2.0 ** min(failures, 16), BACKOFF_MAX_SECONDS))
