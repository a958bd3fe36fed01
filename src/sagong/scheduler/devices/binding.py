"""Writing allocations and reservations into ResourceClaims, before the pod is bound."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sagong.api import errors
from sagong.api.meta import finalizers_of, name_of, namespace_of, uid_of
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.scheduler.devices.lookup import CLAIMS
from sagong.scheduler.pod import PodFacts

log = logging.getLogger(__name__)

PROTECTION = "resource.kubernetes.io/delete-protection"
ATTEMPTS = 5  # against others who write the same claim


class DevicesFailed(Exception):
    """A claim could not be given its devices; the message says why."""


@dataclass(frozen=True, slots=True)
class DeviceDecision:
    """Claims with what they are allocated (None: they have it already, and are only reserved)."""

    claims: Sequence[tuple[Obj, Obj | None]] = ()


class DeviceBinder:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def bind(self, pod: PodFacts, decision: DeviceDecision) -> None:
        """Raises DevicesFailed, or an API error of a write."""
        for claim, allocation in decision.claims:
            await self._reserve(pod, claim, allocation)

    async def release(self, pod: PodFacts, decision: DeviceDecision) -> None:
        """Take reservations back after all; what cannot be written, the claims' controller does."""
        for claim, _ in decision.claims:
            try:
                current = await self._current(claim)
                users = (current.get("status") or {}).get("reservedFor") or []
                rest = [user for user in users if user.get("uid") != pod.uid]
                if len(rest) != len(users):
                    await self._write_status(current, {"reservedFor": rest})
            except (errors.ApiError, DevicesFailed) as error:
                log.info("releasing %s: %s", name_of(claim), error)

    async def _reserve(self, pod: PodFacts, claim: Obj, allocation: Obj | None) -> None:
        for attempt in range(ATTEMPTS):
            try:
                await self._try_reserve(pod, claim, allocation)
            except errors.Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return

    async def _try_reserve(self, pod: PodFacts, claim: Obj, allocation: Obj | None) -> None:
        current = await self._current(claim)
        status = current.get("status") or {}
        if allocation is not None and status.get("allocation"):
            raise DevicesFailed(f"claim {namespace_of(claim)}/{name_of(claim)} was allocated "
                                "elsewhere in the meantime")  # fmt: skip
        if allocation is None and not status.get("allocation"):
            raise DevicesFailed(f"claim {namespace_of(claim)}/{name_of(claim)} was deallocated "
                                "in the meantime")  # fmt: skip
        if allocation is not None and PROTECTION not in finalizers_of(current):
            metadata = {
                "resourceVersion": current["metadata"]["resourceVersion"],
                "finalizers": [*finalizers_of(current), PROTECTION],
            }
            current = await self._client.patch(
                CLAIMS,
                name_of(claim),
                {"metadata": metadata},
                namespace=namespace_of(claim),
            )
        users = [u for u in status.get("reservedFor") or () if u.get("uid") != pod.uid]
        user = {"resource": "pods", "name": pod.key.name, "uid": pod.uid}
        change: Obj = {"reservedFor": [*users, user]}
        if allocation is not None:
            change["allocation"] = allocation
        await self._write_status(current, change)

    async def _current(self, claim: Obj) -> Obj:
        found = await self._client.get(CLAIMS, name_of(claim), namespace=namespace_of(claim))
        if uid_of(found) != uid_of(claim):
            raise DevicesFailed(f"claim {name_of(claim)} is another one now")
        return found

    async def _write_status(self, current: Obj, change: Obj) -> None:
        version = current["metadata"]["resourceVersion"]
        await self._client.patch(
            CLAIMS,
            name_of(current),
            {"metadata": {"resourceVersion": version}, "status": change},
            namespace=namespace_of(current),
            subresource="status",
        )
