"""One server for all tests of a module: they keep to objects, or namespaces, of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest_asyncio
from rest import ADMIN, Api
from spaces import Space

from sagong.api.types import User
from sagong.client.client import Client
from sagong.cmd.control_plane import control_plane
from sagong.cmd.server import Running, ServerConfig, serving
from sagong.controllers.configured import Settings
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds
from sagong.core.tasks import task_group
from sagong.ctl.metrics import QueueMetrics
from sagong.server.aggregation.in_process import aggregating
from sagong.server.pki.signing import Signer
from sagong.sim.fleet import Fleet, FleetConfig
from sagong.sim.lives import Profile


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(data_dir: Path) -> AsyncIterator[Running]:
    """An API server without controllers."""
    config = ServerConfig(data_dir, port=0, token_auth_file=data_dir / "tokens.csv", store="memory")
    async with serving(config, clock=SystemClock(), ids=SystemIds()) as running:
        # What the service-account controller would do.
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await running.client(ADMIN).create("serviceaccounts", account, namespace="default")
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(server: Running) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(session, server.url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(server: Running) -> AsyncIterator[Running]:
    """The server with its controllers and its scheduler; no nodes."""
    settings = Settings(server.pki.ca_file.read_text(), Signer(server.pki.authority, SystemClock()))
    core = server.core
    async with control_plane(
        aggregating(core.server, server.aggregator),
        core.resources,
        settings,
        SystemClock(),
        SystemIds(),
        metrics=QueueMetrics(core.metrics_registry),
    ):
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(plane: Running) -> AsyncIterator[Fleet]:
    """Three pretended nodes, whose pods start and end as fast as the API allows."""
    quick = Profile(start_seconds=(0.0, 0.02), ready_seconds=(0.0, 0.0), stop_seconds=(0.0, 0.02))

    def client_of(name: str) -> Client:
        groups = ("system:nodes", "system:authenticated")
        return plane.client(User(f"system:node:{name}", groups=groups))

    config = FleetConfig(3, profile=quick)
    fleet = Fleet(config, plane.client(ADMIN), client_of, SystemClock(), SystemIds())
    async with task_group() as tasks:
        tasks.start(fleet.run(), name="simulated nodes")
        await fleet.wait_registered()
        yield fleet


@pytest_asyncio.fixture(loop_scope="module")
async def live(nodes: Fleet, space: Space) -> Space:
    """A namespace in which pods run, as far as the API can tell."""
    return space


@pytest_asyncio.fixture(loop_scope="module")
async def space(plane: Running, api: Api) -> AsyncIterator[Space]:
    """A namespace of the test's own, as the suite's framework makes them."""
    made = await Space(api).make()
    yield made
    await api.call("DELETE", f"/api/v1/namespaces/{made.name}")
