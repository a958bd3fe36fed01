"""The probes of one pod: a task for each probe of each running container.

Startup comes first; until it has succeeded nothing else is probed. A container whose liveness or
startup probe has failed is left alone until it has been replaced.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from sagong.api.types import Obj
from sagong.core.clock import Clock
from sagong.core.supervision import supervised
from sagong.core.tasks import Tasks
from sagong.node.pods.model import Kind, ProbeKind, ProbeView, SeenContainer, SeenPod
from sagong.node.pods.spec import all_containers, is_sidecar
from sagong.node.probes.handlers import ProbeError
from sagong.node.probes.outcome import Outcome
from sagong.node.probes.threshold import INITIAL, Result, Tally

log = logging.getLogger(__name__)

# (container spec, container id, probe spec) -> what one attempt found; raises ProbeError.
Attempt = Callable[[Obj, str, Obj], Awaitable[Outcome]]
Count = Callable[[str, ProbeKind, str], None]  # container name, kind, result
Report = Callable[[Kind, str, str, str], None]  # kind, container name, event reason, message

_FIELDS = {
    ProbeKind.STARTUP: "startupProbe",
    ProbeKind.READINESS: "readinessProbe",
    ProbeKind.LIVENESS: "livenessProbe",
}


@dataclass(slots=True)
class _Probe:
    """One probe of one container."""

    kind: Kind
    container: Obj
    seen: SeenContainer
    probe_kind: ProbeKind
    spec: Obj
    tally: Tally
    task: asyncio.Task[None] | None = None
    succeeded: asyncio.Event = field(default_factory=asyncio.Event)


class PodProber:
    """Give it what was seen with ``sync``; read ``view``. ``on_change`` is called at changes."""

    def __init__(
        self,
        tasks: Tasks,
        clock: Clock,
        attempt: Attempt,
        report: Report,
        on_change: Callable[[], None],
        count: Count,
    ) -> None:
        self._tasks = tasks
        self._clock = clock
        self._attempt = attempt
        self._report = report
        self._on_change = on_change
        self._count = count
        self._probes: dict[tuple[str, ProbeKind], _Probe] = {}

    def sync(self, pod: Obj, seen: SeenPod, *, terminating: bool) -> None:
        """Start probes of containers that run, stop those of containers that do not.

        While the pod is terminating only readiness is still probed.
        """
        wanted = {(p.seen.id, p.probe_kind): p for p in _wanted(pod, seen, terminating)}
        for key in [key for key in self._probes if key not in wanted]:
            self._stop(self._probes.pop(key))
        for key, probe in wanted.items():
            if key not in self._probes:
                self._probes[key] = probe
                name = f"probe {probe.container['name']} {probe.probe_kind.value}"
                run = functools.partial(self._run, probe)
                probe.task = self._tasks.start(supervised(name, run), name=name)

    def view(self) -> ProbeView:
        started, ready, failed = set(), set(), {}
        for probe in self._probes.values():
            ok = probe.tally.result is Result.SUCCESS
            if probe.probe_kind is ProbeKind.STARTUP and ok:
                started.add(probe.seen.id)
            elif probe.probe_kind is ProbeKind.READINESS and ok:
                ready.add(probe.seen.id)
            if probe.probe_kind is not ProbeKind.READINESS and (
                probe.tally.result is Result.FAILURE
            ):
                failed[probe.seen.id] = probe.probe_kind
        return ProbeView(frozenset(started), frozenset(ready), failed)

    def _stop(self, probe: _Probe) -> None:
        if probe.task is not None:
            probe.task.cancel()

    async def _run(self, probe: _Probe) -> None:
        spec = probe.spec
        period = float(spec.get("periodSeconds") or 10)
        age = self._clock.now() - probe.seen.started_at
        await asyncio.sleep(max(0.0, float(spec.get("initialDelaySeconds") or 0) - age))
        await self._started_event(probe).wait()
        while True:
            await self._once(probe)
            if probe.probe_kind is ProbeKind.STARTUP and probe.tally.result is Result.SUCCESS:
                return
            if self._is_on_hold(probe):
                return
            await asyncio.sleep(period)

    def _started_event(self, probe: _Probe) -> asyncio.Event:
        """Set once the container's startup probe, if it has one, has succeeded."""
        startup = self._probes.get((probe.seen.id, ProbeKind.STARTUP))
        if startup is None or startup is probe:
            event = asyncio.Event()
            event.set()
            return event
        return startup.succeeded

    def _is_on_hold(self, probe: _Probe) -> bool:
        failed = probe.tally.result is Result.FAILURE
        return failed and probe.probe_kind is not ProbeKind.READINESS

    async def _once(self, probe: _Probe) -> None:
        name, what = probe.container["name"], probe.probe_kind.value
        try:
            outcome = await self._attempt(probe.container, probe.seen.id, probe.spec)
        except ProbeError as error:
            self._count(name, probe.probe_kind, "unknown")
            message = f"{what} probe errored and resulted in unknown state: {error}"
            self._report(probe.kind, name, "Unhealthy", message)
            return
        self._count(name, probe.probe_kind, "successful" if outcome.ok else "failed")
        if not outcome.ok:
            self._report(probe.kind, name, "Unhealthy", f"{what} probe failed: {outcome.failure}")
        elif outcome.warning:
            message = f"{what} probe warning: {outcome.warning}"
            self._report(probe.kind, name, "ProbeWarning", message)
        before = probe.tally.result
        probe.tally = probe.tally.after(
            outcome.ok,
            success_threshold=int(probe.spec.get("successThreshold") or 1),
            failure_threshold=int(probe.spec.get("failureThreshold") or 3),
        )
        if probe.tally.result is Result.SUCCESS:
            probe.succeeded.set()
        if probe.tally.result is not before:
            self._on_change()


def _wanted(pod: Obj, seen: SeenPod, terminating: bool) -> Iterator[_Probe]:
    running = {container.name: container for container in seen.running}
    for kind, container in all_containers(pod):
        if container["name"] not in running:
            continue
        if kind is Kind.EPHEMERAL or (kind is Kind.INIT and not is_sidecar(container)):
            continue
        for probe_kind, name in _FIELDS.items():
            if terminating and probe_kind is not ProbeKind.READINESS:
                continue
            if spec := container.get(name):
                here = running[container["name"]]
                yield _Probe(kind, container, here, probe_kind, spec, Tally(INITIAL[probe_kind]))
