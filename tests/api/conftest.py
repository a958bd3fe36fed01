"""A real API server over HTTPS for each test, the official client and kubectl to try it with."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from rest import ADMIN, TOKENS, Api, Kubectl

from sagong.client.client import Client
from sagong.cmd.server import Running, ServerConfig, serving
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and certificates, made once for all tests."""
    path = tmp_path_factory.mktemp("server")
    (path / "tokens.csv").write_text(TOKENS)
    return path


@pytest.fixture
async def server(data_dir: Path) -> AsyncIterator[Running]:
    config = ServerConfig(data_dir, port=0, token_auth_file=data_dir / "tokens.csv", store="memory")
    async with serving(config, clock=SystemClock(), ids=SystemIds()) as running:
        # What the service-account controller would do.
        client = running.client(ADMIN)
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await client.create("serviceaccounts", account, namespace="default")
        yield running


@pytest.fixture
def client(server: Running) -> Client:
    """An administrator's client in this process."""
    return server.client(ADMIN, user_agent="test/1")


@pytest.fixture
async def api(server: Running) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(session, server.url)


@pytest.fixture
def kubectl(server: Running, tmp_path: Path) -> Kubectl:
    """Runs kubectl as administrator; its standard output, AssertionError with what it said."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not installed")

    async def run(*arguments: str, stdin: str = "", fails: bool = False) -> str:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--kubeconfig={server.kubeconfig}",
            f"--cache-dir={tmp_path}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin.encode())
        assert (process.returncode != 0) == fails, err.decode()
        return err.decode() if fails else out.decode()

    return run
