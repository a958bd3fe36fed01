"""Leader election over a coordination.k8s.io/v1 Lease.

Semantics: client-go's ``tools/leaderelection``. Other candidates' clocks are not trusted: a lease
has run out when it has not changed for its duration of our own time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sagong.api.errors import ApiError, NotFound
from sagong.api.meta import deep_copy
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.clock import Clock, format_micro_time
from sagong.core.ids import Ids
from sagong.core.tasks import task_group

log = logging.getLogger(__name__)

RESOURCE = "leases.coordination.k8s.io"


@dataclass(frozen=True, slots=True)
class Terms:
    """Upstream's defaults for its control plane."""

    lease_seconds: int = 15  # a leader that is not heard of for so long is no longer one
    renew_deadline_seconds: float = 10.0  # a leader that cannot renew for so long gives up
    retry_seconds: float = 2.0
    jitter: float = 1.2


class LeadershipLost(Exception):
    """Somebody else leads, or may lead by now."""


class Elector:
    """One candidate for one lease."""

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        ids: Ids,
        terms: Terms = Terms(),
        tell: Callable[[str], None] = lambda what: None,
    ) -> None:
        """``tell`` is called with "became leader" and "stopped leading"."""
        self._tell = tell
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._ids = ids
        self._terms = terms
        self._seen_spec: Obj | None = None
        self._seen_at = 0.0  # monotonic: when the spec that we saw last was new

    @property
    def holder(self) -> str:
        """Who led when the lease was last looked at; "" for nobody."""
        return str((self._seen_spec or {}).get("holderIdentity") or "")

    async def run(self, lead: Callable[[], Awaitable[Any]]) -> None:
        """Wait for the lease, then run ``lead`` for as long as it is held.

        Returns when ``lead`` does. Raises LeadershipLost, after cancelling ``lead``, when the
        lease is; an ExceptionGroup when ``lead`` fails. However it ends, a lease that is still ours
        is given free at once.
        """
        await self._acquire()
        log.info("%s: %s leads", self._name, self._identity)
        self._tell("became leader")
        try:
            async with task_group() as tasks:
                leading = tasks.start(_call(lead), name=f"lead {self._name}")
                renewing = tasks.start(self._renew(), name=f"renew {self._name}")
                await asyncio.wait((leading, renewing), return_when=asyncio.FIRST_COMPLETED)
                lost = not leading.done()
        finally:
            self._tell("stopped leading")
            await self._release()
        if lost:
            raise LeadershipLost(f"{self._name}: {self._identity} no longer leads")

    async def _acquire(self) -> None:
        while not await self._try():
            terms = self._terms
            await asyncio.sleep(terms.retry_seconds * (1 + terms.jitter * self._ids.random()))

    async def _renew(self) -> None:
        """Returns when the lease could not be renewed in time."""
        while True:
            try:
                async with asyncio.timeout(self._terms.renew_deadline_seconds):
                    while not await self._try():  # noqa: ASYNC110 - it is a retry
                        await asyncio.sleep(self._terms.retry_seconds)
            except TimeoutError:
                return
            await asyncio.sleep(self._terms.retry_seconds)

    async def _try(self) -> bool:
        """Acquire or renew once; whether the lease is ours."""
        try:
            return await self._try_once()
        except ApiError as error:
            log.info("%s: %s", self._name, error.message)
            return False

    async def _try_once(self) -> bool:
        try:
            lease = await self._client.get(RESOURCE, self._name, namespace=self._namespace)
        except NotFound:
            lease = await self._client.create(RESOURCE, self._fresh())
            self._observe(lease["spec"])
            return True
        spec = lease.get("spec") or {}
        self._observe(spec)
        if self.holder not in ("", self._identity) and self._in_force(spec):
            return False
        lease = deep_copy(lease)
        lease["spec"] = self._renewed(spec)
        self._observe((await self._client.update(RESOURCE, lease))["spec"])
        return True

    def _observe(self, spec: Obj) -> None:
        if spec != self._seen_spec:
            self._seen_spec = spec
            self._seen_at = self._clock.monotonic()

    def _in_force(self, spec: Obj) -> bool:
        duration = spec.get("leaseDurationSeconds") or self._terms.lease_seconds
        return self._clock.monotonic() < self._seen_at + float(duration)

    def _fresh(self) -> Obj:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._renewed({}),
        }

    def _renewed(self, spec: Obj) -> Obj:
        now = format_micro_time(self._clock.now())
        ours = spec.get("holderIdentity") == self._identity
        transitions = int(spec.get("leaseTransitions") or 0)
        if spec and not ours:
            transitions += 1
        return spec | {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._terms.lease_seconds,
            "acquireTime": (spec.get("acquireTime") if ours else None) or now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    async def _release(self) -> None:
        """Let the next leader start at once; only if the lease is still ours."""
        try:
            async with asyncio.timeout(self._terms.retry_seconds):
                lease = await self._client.get(RESOURCE, self._name, namespace=self._namespace)
                if (lease.get("spec") or {}).get("holderIdentity") != self._identity:
                    return
                now = format_micro_time(self._clock.now())
                freed = {"holderIdentity": "", "leaseDurationSeconds": 1}
                lease = deep_copy(lease)
                lease["spec"] |= freed | {"acquireTime": now, "renewTime": now}
                await self._client.update(RESOURCE, lease)
        except (ApiError, TimeoutError) as error:
            # It runs out by itself; the next leader waits for its duration.
            log.info("%s: not released: %s", self._name, error)


async def _call(lead: Callable[[], Awaitable[Any]]) -> Any:
    return await lead()
