"""What the tests of the API share: raw HTTP, users and sample objects."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from sagong.api.types import User

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


Kubectl = Callable[..., Awaitable[str]]
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, **spec: object) -> dict:
    containers = [{"name": "c", "image": "busybox"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, **spec},
    }
