"""One registered DRA driver: its service, typed."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sagong.core.protobuf import MessageSet
from sagong.node.plugins.channel import PluginChannel, PluginFailure

# What a driver says it speaks -> our table of it; the first that it has is spoken.
VERSIONS = {"v1.DRAPlugin": "v1", "v1beta1.DRAPlugin": "v1beta1"}
HEALTH_SERVICE = "v1alpha1.DRAResourceHealth"
CALL_SECONDS = 45.0  # upstream's PluginClientTimeout


@cache
def dra_messages(version: str) -> MessageSet:
    package = f"k8s.io.kubelet.pkg.apis.dra.{version}"
    return MessageSet.load(package, __package__, f"dra_{version}.json")


@cache
def health_messages() -> MessageSet:
    return MessageSet.load("v1alpha1", __package__, "dra_health_v1alpha1.json")


@dataclass(frozen=True, slots=True)
class ClaimReference:
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class PreparedDevice:
    """A device of a claim as its driver has made it ready."""

    pool: str
    device: str
    requests: tuple[str, ...]  # which of the claim's it is for; none for all
    cdi_ids: tuple[str, ...]
    share: str = ""


class DraDriver:
    """Calls raise PluginFailure."""

    def __init__(self, name: str, endpoint: Path, versions: Sequence[str]) -> None:
        """Raises ValueError if it speaks no version that we do."""
        spoken = next((own for told, own in VERSIONS.items() if told in versions), None)
        if spoken is None:
            raise ValueError(
                f"none of the supported gRPC services {list(VERSIONS)} is offered by the driver: "
                f"{list(versions)}"
            )
        self.name = name
        self.channel = PluginChannel(endpoint, dra_messages(spoken), "DRAPlugin")
        tells = HEALTH_SERVICE in versions
        self.health = (
            PluginChannel(endpoint, health_messages(), "DRAResourceHealth") if tells else None
        )

    async def close(self) -> None:
        await self.channel.close()
        if self.health is not None:
            await self.health.close()

    async def prepare(
        self, claims: Sequence[ClaimReference]
    ) -> Mapping[str, Sequence[PreparedDevice]]:
        """The devices of each claim, by its uid."""
        answers = await self._call("NodePrepareResources", claims)
        return {uid: [_device(d) for d in answer.devices] for uid, answer in answers.items()}

    async def unprepare(self, claims: Sequence[ClaimReference]) -> None:
        await self._call("NodeUnprepareResources", claims)

    async def _call(self, method: str, claims: Sequence[ClaimReference]) -> Mapping[str, Any]:
        wanted = [{"namespace": c.namespace, "name": c.name, "uid": c.uid} for c in claims]
        try:
            answer = await self.channel.call(method, deadline_seconds=CALL_SECONDS, claims=wanted)
        except PluginFailure as error:
            raise PluginFailure(f"{method}: {error}", error.code) from error
        names = {claim.uid: claim.name for claim in claims}
        for uid, told in answer.claims.items():
            if uid not in names:
                raise PluginFailure(f"{method} returned result for unknown claim UID {uid}")
            if told.error:
                raise PluginFailure(f"{method} failed for ResourceClaim {names[uid]}: {told.error}")
        if left := len(names) - len(answer.claims):
            raise PluginFailure(f"{method} skipped {left} ResourceClaims")
        return dict(answer.claims)

    async def watch_health(self) -> AsyncIterator[Iterable[Any]]:
        """DeviceHealth messages as they come, if the driver tells any."""
        if self.health is not None:
            async for answer in self.health.stream("NodeWatchResources"):
                yield answer.devices


def _device(told: Any) -> PreparedDevice:
    share = getattr(told, "share_id", "")
    requests, ids = tuple(told.request_names), tuple(told.cdi_device_ids)
    return PreparedDevice(told.pool_name, told.device_name, requests, ids, share)
