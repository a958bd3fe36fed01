"""One server for all tests of a module: they keep to objects of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest_asyncio
from rest import ADMIN, Api

from sagong.cmd.server import Running, ServerConfig, serving
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds


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
