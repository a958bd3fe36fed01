"""An HTTPS server that plays the user's webhooks: paths are Python functions."""

import asyncio
import base64
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from sagong.core.clock import SystemClock
from sagong.server.pki.authority import SERVER_AUTH, Authority, Identity, new_authority

NAMES = ("localhost", "hook.try.svc", "extension.try.svc")
Answer = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(slots=True)
class Hooks:
    """The server. ``asked`` has every review's request, by path."""

    url: str
    port: int
    ca_bundle: str
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    # What takes over a path altogether.
    raw: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(
        default_factory=dict
    )

    def client(self, path: str) -> dict[str, Any]:
        """A ``clientConfig``."""
        return {"url": f"{self.url}{path}", "caBundle": self.ca_bundle}

    def service(self, path: str, *, name: str = "hook", namespace: str = "try") -> dict[str, Any]:
        ref = {"name": name, "namespace": namespace, "path": path, "port": 443}
        return {"service": ref, "caBundle": self.ca_bundle}

    def play(self, path: str, answer: Answer) -> dict[str, Any]:
        """Answer reviews at a path; its ``clientConfig``."""
        self.answers[path] = answer
        self.asked[path] = []
        return self.client(path)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path in self.raw:
            return await self.raw[request.path](request)
        answer = self.answers.get(request.path)
        if answer is None:
            return web.Response(status=404, text="404 page not found\n")
        review = await request.json()
        asked = review["request"]
        self.asked[request.path].append(asked)
        response = {"uid": asked["uid"], **answer(asked)}
        review = {"kind": review["kind"], "apiVersion": review["apiVersion"], "response": response}
        return web.json_response(review)


def allow(**fields: Any) -> dict[str, Any]:
    return {"allowed": True, **fields}


def deny(message: str = "", **status: Any) -> dict[str, Any]:
    said = {"message": message} if message else {}
    return {"allowed": False, "status": {**said, **status}}


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    return allow(patch=data, patchType="JSONPatch")


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


@dataclass(frozen=True, slots=True)
class Keys:
    """A serving certificate with the bundle that it verifies against."""

    context: ssl.SSLContext
    ca_bundle: str


def keys(directory: Path, *, names: tuple[str, ...] = NAMES) -> Keys:
    """Made anew."""
    now = SystemClock().now()
    ca = new_authority("hooks-ca", now=now, ttl_seconds=3600)
    identity = Identity("hooks", dns_names=names, addresses=("127.0.0.1",), usages=(SERVER_AUTH,))
    pair = Authority(ca).issue(identity, now=now, ttl_seconds=3600)
    (directory / "hooks.crt").write_bytes(pair.certificate_pem)
    (directory / "hooks.key").write_bytes(pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "hooks.crt", directory / "hooks.key")
    return Keys(context, base64.b64encode(ca.certificate_pem).decode())


@contextlib.asynccontextmanager
async def hook_server(found: Keys) -> AsyncIterator[Hooks]:
    hooks = Hooks("", 0, found.ca_bundle)
    server = web.Server(hooks._handle)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(server, "0.0.0.0", 0, ssl=found.context)
    hooks.port = listener.sockets[0].getsockname()[1]
    hooks.url = f"https://127.0.0.1:{hooks.port}"
    try:
        yield hooks
    finally:
        listener.close()
        await server.shutdown(1)


def own_address() -> str:
    """An address of this machine that is not loopback; "" if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return ""
        found: str = probe.getsockname()[0]
    return "" if found.startswith("127.") else found


def webhook(name: str, client: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """One webhook, as a client writes it."""
    return {
        "name": name,
        "clientConfig": client,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1", "v1beta1"],
        **fields,
    }


def rule(
    *resources: str, operations: tuple[str, ...] = ("CREATE",), group: str = "", version: str = "v1"
) -> dict[str, Any]:
    return {
        "operations": list(operations),
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": list(resources),
    }


def configuration(sort: str, name: str, *webhooks: dict[str, Any]) -> dict[str, Any]:
    """``sort``: Mutating or Validating."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{sort}WebhookConfiguration",
        "metadata": {"name": name, "labels": {"made-by": "test"}},
        "webhooks": list(webhooks),
    }


def path_of(sort: str) -> str:
    return f"/apis/admissionregistration.k8s.io/v1/{sort.lower()}webhookconfigurations"
