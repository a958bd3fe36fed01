"""A real API server over HTTPS for each test, the official client and kubectl to try it with."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sagong.api.types import User
from sagong.client.client import Client
from sagong.cmd.server import Running, ServerConfig, serving
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
TOKENS = """\
admin-token,admin,1,"system:masters"
dev-token,dev,2,"developers"
"""
JSON = {"Content-Type": "application/json"}


@dataclass(slots=True)
class Response:
    """One HTTP answer."""

    status: int
    headers: Any
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass(slots=True)
class Api:
    """Raw HTTP with a token."""

    session: aiohttp.ClientSession
    url: str

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = "admin-token",
        headers: dict[str, str] | None = None,
    ) -> Response:
        data = body if isinstance(body, (bytes, str, type(None))) else json.dumps(body)
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        sent |= (JSON if body is not None else {}) | (headers or {})
        async with self.session.request(
            method, self.url + path, data=data, headers=sent, ssl=False
        ) as response:
            return Response(response.status, response.headers.copy(), await response.text())


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


Kubectl = Callable[..., Awaitable[str]]


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
