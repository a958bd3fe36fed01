"""Stopping a pod: the drain, preStop hooks, SIGTERM, SIGKILL, sidecars last and in reverse."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sagong.api.meta import condition, is_deleting, labels_of, namespace_of
from sagong.api.types import Obj
from sagong.core.clock import Clock, parse_time
from sagong.core.tasks import task_group
from sagong.ctl.controller import Events
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeNotFound
from sagong.node.pods.hooks import HookError, run_hook
from sagong.node.pods.model import Kind, SeenContainer, SeenPod
from sagong.node.pods.references import container_reference
from sagong.node.pods.spec import find_container, is_sidecar
from sagong.node.pods.spec import grace_seconds as grace_of

log = logging.getLogger(__name__)

# Upstream always leaves a container this much after its preStop hook.
AFTER_HOOK_SECONDS_MIN = 2


@dataclass(frozen=True, slots=True)
class Stopper:
    """Stops containers of pods."""

    cri: CriClient
    events: Events
    clock: Clock
    drain_seconds: float
    services: Callable[[str], Iterable[Obj]]  # of a namespace

    async def stop_pod(
        self, pod: Obj, seen: SeenPod, *, grace_seconds: float | None = None
    ) -> None:
        """Stop all containers within the pod's grace (or another), then the sandboxes."""
        grace = float(grace_of(pod) if grace_seconds is None else max(1.0, grace_seconds))
        started = self.clock.monotonic()
        await asyncio.sleep(self._drain_left(pod, seen, grace))
        running = {c.name: c for c in seen.running}
        sidecars = [
            running.pop(c["name"])
            for c in pod["spec"].get("initContainers") or []
            if is_sidecar(c) and c["name"] in running
        ]
        async with task_group() as tasks:
            stops = [
                tasks.start(
                    self.stop_container(pod, container, self._left(grace, started)),
                    name=f"stop {container.name}",
                )
                for container in running.values()
            ]
            for stop in stops:
                await stop
        # Sidecars serve the others to the last: they stop after them, the newest first.
        for container in reversed(sidecars):
            await self.stop_container(pod, container, self._left(grace, started))
        for sandbox in seen.sandboxes:
            await self.stop_sandbox(sandbox.id)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        try:
            await self.cri.stop_sandbox(sandbox_id)
        except RuntimeNotFound:
            log.debug("sandbox %s is gone already", sandbox_id)

    async def stop_container(
        self, pod: Obj, container: SeenContainer, grace: float, message: str = ""
    ) -> None:
        """Stop one container. The event is upstream's Killing."""
        found = find_container(pod, container.name)
        about = container_reference(pod, found[0] if found else Kind.MAIN, container.name)
        text = message or f"Stopping container {container.name}"
        self.events.emit(about, "Normal", "Killing", text)
        hook = ((found[1].get("lifecycle") or {}).get("preStop")) if found else None
        if hook and found:
            grace = await self._pre_stop(pod, found[1], container, hook, grace)
        try:
            await self.cri.stop_container(container.id, grace_seconds=max(1, round(grace)))
        except RuntimeNotFound:
            log.debug("container %s is gone already", container.id)

    async def kill_container(self, pod: Obj, container: SeenContainer) -> None:
        """At once: no hook is run, and no time given."""
        found = find_container(pod, container.name)
        about = container_reference(pod, found[0] if found else Kind.MAIN, container.name)
        self.events.emit(about, "Normal", "Killing", f"Stopping container {container.name}")
        try:
            await self.cri.stop_container(container.id, grace_seconds=0)
        except RuntimeNotFound:
            log.debug("container %s is gone already", container.id)

    def _left(self, grace: float, started: float) -> float:
        return max(1.0, grace - (self.clock.monotonic() - started))

    def _drain_left(self, pod: Obj, seen: SeenPod, grace: float) -> float:
        """How long to wait before anything is stopped, so that no new connection comes.

        Only for Ready pods that a service sends connections to and whose deletion has been
        announced; those that run no container, or are in a hurry, are not waited for.
        """
        ready = condition(pod, "Ready")
        serves = ready is not None and ready.get("status") == "True"
        if not serves or not is_deleting(pod) or not seen.running or grace <= 1:
            return 0.0
        if not any(selects(service, pod) for service in self.services(namespace_of(pod))):
            return 0.0
        grace_given = pod["metadata"].get("deletionGracePeriodSeconds") or 0
        announced_at = parse_time(pod["metadata"]["deletionTimestamp"]) - grace_given
        # The time has whole seconds: take its end, so that the wait is never too short.
        waited = self.clock.now() - (announced_at + 1)
        return min(max(0.0, self.drain_seconds - max(0.0, waited)), grace / 2)

    async def _pre_stop(
        self, pod: Obj, spec: Obj, container: SeenContainer, hook: Obj, grace: float
    ) -> float:
        """Run the hook within the grace; what is left of it."""
        started = self.clock.monotonic()
        pod_ip = str((pod.get("status") or {}).get("podIP") or "")
        about = container_reference(pod, Kind.MAIN, container.name)
        try:
            async with asyncio.timeout(grace):
                await run_hook(self.cri, pod, spec, container.id, hook, pod_ip)
        except TimeoutError:
            log.info("preStop hook of %s was not done in %s s", container.name, grace)
        except (HookError, ValueError) as error:
            self.events.emit(about, "Warning", "FailedPreStopHook", f"PreStopHook failed: {error}")
        return max(AFTER_HOOK_SECONDS_MIN, grace - (self.clock.monotonic() - started))


def selects(service: Obj, pod: Obj) -> bool:
    """Whether a service's selector holds for the pod; one without a selector holds for none."""
    selector = service["spec"].get("selector") or {}
    return bool(selector) and selector.items() <= labels_of(pod).items()
