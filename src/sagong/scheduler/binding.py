"""Carrying a decision out: volumes first, then the binding itself."""

import asyncio

from sagong.api import errors
from sagong.api.meta import annotations_of, name_of, namespace_of, resource_version_of, uid_of
from sagong.api.types import Key, Obj
from sagong.api.volumes import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    CLAIMS,
    SELECTED_NODE,
    VOLUMES,
    claim_reference,
)
from sagong.client.client import Client
from sagong.ctl.informer import SharedCache
from sagong.scheduler.pod import PodFacts
from sagong.scheduler.volumes import VolumeDecision

# How long volumes may take to be made and bound before the pod is scheduled anew.
VOLUMES_SECONDS_MAX = 600.0
ASK_AGAIN_SECONDS = 1.0  # while the server cannot say whether a pod was bound


class VolumesFailed(Exception):
    """Volumes did not become ready; the message says which and why."""


async def bind_pod(client: Client, pod: PodFacts, node: str) -> None:
    """Create the Binding. Raises NotFound, Conflict."""
    binding: Obj = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.key.name, "namespace": pod.key.namespace, "uid": pod.uid},
        "target": {"kind": "Node", "name": node},
    }
    await client.create(
        "pods", binding, namespace=pod.key.namespace, name=pod.key.name, subresource="binding"
    )


async def is_bound(client: Client, pod: PodFacts, node: str) -> bool:
    """Whether a pod got its node although binding it failed: the answer may have been lost.

    Asks until the server says one or the other: room that is given back too soon is given away
    twice.
    """
    while True:
        try:
            obj = await client.get("pods", pod.key.name, namespace=pod.key.namespace)
        except errors.NotFound:
            return False
        except errors.ApiError:
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            continue
        return uid_of(obj) == pod.uid and obj["spec"].get("nodeName") == node


class VolumeBinder:
    """Writes what was decided about claims and waits until they are bound."""

    def __init__(self, client: Client, cache: SharedCache) -> None:
        self._client = client
        self._cache = cache
        self._waiters: dict[Key, list[asyncio.Future[None]]] = {}
        cache.on_change(CLAIMS, self._claim_changed)

    async def bind(
        self, decision: VolumeDecision, node: str, seconds_max: float | None = None
    ) -> None:
        """Raises VolumesFailed, or an API error of a write."""
        for claim, volume in decision.bind:
            await self._reserve(claim, volume)
        for claim in decision.provision:
            await self._select_node(claim, node)
        claims = [*(claim for claim, _ in decision.bind), *decision.provision]
        try:
            async with asyncio.timeout(seconds_max or VOLUMES_SECONDS_MAX):
                for claim in claims:
                    await self._wait_bound(claim, node)
        except TimeoutError as error:
            raise VolumesFailed("timed out waiting for the condition") from error

    async def _reserve(self, claim: Obj, volume: Obj) -> None:
        patch = {
            "metadata": {
                "resourceVersion": volume["metadata"]["resourceVersion"],
                "annotations": {BOUND_BY_CONTROLLER: "yes"},
            },
            "spec": {"claimRef": claim_reference(claim)},
        }
        await self._client.patch(VOLUMES, name_of(volume), patch)

    async def _select_node(self, claim: Obj, node: str) -> None:
        patch = {"metadata": {"annotations": {SELECTED_NODE: node}}}
        await self._client.patch(CLAIMS, name_of(claim), patch, namespace=namespace_of(claim))

    async def _wait_bound(self, claim: Obj, node: str) -> None:
        key = Key(namespace_of(claim), name_of(claim))
        loop = asyncio.get_running_loop()
        while True:
            changed: asyncio.Future[None] = loop.create_future()
            self._waiters.setdefault(key, []).append(changed)
            current = self._cache.get(CLAIMS, key.namespace, key.name)
            if current is None or uid_of(current) != uid_of(claim):
                raise VolumesFailed(f'persistentvolumeclaim "{key.name}" was deleted')
            if current["spec"].get("volumeName") and BIND_COMPLETED in annotations_of(current):
                return
            stale = resource_version_of(current) <= resource_version_of(claim)
            if not stale and annotations_of(current).get(SELECTED_NODE, node) != node:
                raise VolumesFailed(f'provisioning failed for PVC "{key.name}"')
            await changed

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> None:
        claim = new or old
        if claim is None:
            return
        for waiter in self._waiters.pop(Key(namespace_of(claim), name_of(claim)), ()):
            if not waiter.done():
                waiter.set_result(None)


def is_final(error: errors.ApiError) -> bool:
    """Whether a failed binding means that the pod is gone or is bound already."""
    return isinstance(error, errors.NotFound)
