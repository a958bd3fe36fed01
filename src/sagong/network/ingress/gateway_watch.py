"""Following the objects of the Gateway API, from the moment its definitions are there.

They are custom resources: a cluster may have them or not, and get them later. They have a cache of
their own, so that nothing else waits for them.
"""

import asyncio
import functools
from collections.abc import Callable

import orjson

from sagong.api.errors import ApiError
from sagong.api.gateway import (
    CLASSES,
    GATEWAYS,
    GRANTS,
    GROUP,
    GRPC_ROUTES,
    ROUTES,
    namespace_labels,
    resources,
)
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.client.https import Https
from sagong.core.tasks import task_group
from sagong.ctl.controller import Cache
from sagong.ctl.informer import SharedCache
from sagong.network.ingress.gateways import Gateways

LOOK_SECONDS = 15.0  # for the definitions, while they are not there
NAMESPACES = "namespaces"


class GatewayWatch:
    """What is there of the Gateway API; nothing before ``run`` has found its definitions."""

    def __init__(self, client: Client, objects: SharedCache, namespaces: Cache) -> None:
        """``objects`` is this one's own to declare in and to run."""
        self._client = client
        self._objects = objects
        self._namespaces = namespaces
        self._is_known = False

    def seen(self) -> Gateways | None:
        """None while the cluster has no Gateway API, or it is not listed yet."""
        if not self._is_known:
            return None
        return Gateways(
            classes=tuple(self._objects.list(CLASSES)),
            gateways=tuple(self._objects.list(GATEWAYS)),
            routes=tuple(self._objects.list(ROUTES)),
            grpc_routes=tuple(self._objects.list(GRPC_ROUTES)),
            grants=tuple(self._objects.list(GRANTS)),
            namespaces=namespace_labels(self._namespaces.list(NAMESPACES)),
        )

    async def run(self, changed: Callable[[], None]) -> None:
        """Until cancelled; ``changed`` hears of every change."""
        while not await self._is_served():  # noqa: ASYNC110 - it asks over the network
            await asyncio.sleep(LOOK_SECONDS)
        for resource in resources():
            self._client.resources.add(resource)
            self._objects.declare(resource.name)
            self._objects.on_change(resource.name, functools.partial(_tell, changed))
        async with task_group() as tasks:
            running = tasks.start(self._objects.run(), name="gateways")
            await self._objects.wait_synced()
            self._is_known = True
            changed()
            await running

    async def _is_served(self) -> bool:
        for resource in resources():
            path = f"/apis/{GROUP}/{resource.version}"
            transport = self._client.transport
            if not isinstance(transport, Https):
                return False
            try:
                response = await transport.request("GET", path)
            except ApiError:
                return False
            async with response:
                listing = orjson.loads(await response.read())
            if resource.plural not in (entry["name"] for entry in listing.get("resources") or ()):
                return False
        return True


def _tell(changed: Callable[[], None], old: Obj | None, new: Obj | None) -> None:
    changed()
