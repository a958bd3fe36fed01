"""One server for all tests of a module: they keep to objects, or namespaces, of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest_asyncio
from rest import ADMIN, Api
from spaces import Space

from sagong.cmd.control_plane import control_plane
from sagong.cmd.server import Running, ServerConfig, serving
from sagong.controllers.configured import Settings
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds
from sagong.server.pki.signing import Signer


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
        core.server.dispatch, core.resources, settings, SystemClock(), SystemIds()
    ):
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def space(plane: Running, api: Api) -> AsyncIterator[Space]:
    """A namespace of the test's own, as the suite's framework makes them."""
    made = await Space(api).make()
    yield made
    await api.call("DELETE", f"/api/v1/namespaces/{made.name}")
