"""A small extension API server: flunders of wardle.example.com/v1alpha1, kept in memory.

It does what the sample API server of the conformance suite does, as far as tests look: it believes
the front proxy about users, serves discovery, OpenAPI, every verb, and watches.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

GROUP, VERSION = "wardle.example.com", "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
BASE = f"/apis/{API_VERSION}"
RESOURCES = [
    {
        "name": "flunders",
        "singularName": "flunder",
        "namespaced": True,
        "kind": "Flunder",
        "verbs": [
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "update",
            "watch",
        ],
        "shortNames": ["fl"],
    },
    {
        "name": "flunders/status",
        "singularName": "",
        "namespaced": True,
        "kind": "Flunder",
        "verbs": ["get", "patch", "update"],
    },
]
SCHEMA = {
    "type": "object",
    "description": "A flunder.",
    "x-kubernetes-group-version-kind": [{"group": GROUP, "version": VERSION, "kind": "Flunder"}],
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
        "spec": {"type": "object", "properties": {"reference": {"type": "string"}}},
    },
}
# Deliberately not what everybody else calls by this name.
META = {"type": "object", "description": "Another idea of metadata."}
NAME = "com.example.wardle.v1alpha1.Flunder"


@dataclass(slots=True)
class Extension:
    """The server's state, and what it saw."""

    port: int = 0
    is_well: bool = True
    objects: dict[tuple[str, str], Any] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)
    watchers: set[asyncio.Queue[Any]] = field(default_factory=set)
    revision: int = 1

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = request.headers
        self.seen.append(
            {
                "method": request.method,
                "path": request.path_qs,
                "user": headers.get("X-Remote-User"),
                "groups": headers.getall("X-Remote-Group", []),
                "extra": {k: v for k, v in headers.items() if k.startswith("X-Remote-Extra-")},
                "authorization": headers.get("Authorization"),
                "certificate": _subject(request),
            }
        )
        if not self.is_well:
            return web.Response(status=500, text="not well")
        if request.path == BASE:
            listing = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API_VERSION}
            return web.json_response({**listing, "resources": RESOURCES})
        if request.path.startswith("/openapi"):
            return _openapi(request.path)
        if request.headers.get("Upgrade") == "websocket":
            return await _echo(request)
        return await self._objects(request)

    async def _objects(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.removeprefix(BASE).strip("/").split("/")
        if parts[0] != "namespaces":
            return web.json_response(self._list(None))
        namespace, name = parts[1], parts[3] if len(parts) > 3 else ""
        if not name:
            return await self._collection(request, namespace)
        found = self.objects.get((namespace, name))
        if found is None:
            return _status(404, f'flunders.{GROUP} "{name}" not found')
        if request.method == "DELETE":
            del self.objects[namespace, name]
            self._tell("DELETED", found)
        elif request.method in ("PUT", "PATCH"):
            found = {**found, **await request.json()}
            self._store(namespace, name, found, "MODIFIED")
        return web.json_response(found)

    async def _collection(self, request: web.Request, namespace: str) -> web.StreamResponse:
        if request.method == "POST":
            obj = await request.json()
            obj = {"apiVersion": API_VERSION, "kind": "Flunder", **obj}
            self._store(namespace, obj["metadata"]["name"], obj, "ADDED")
            return web.json_response(obj, status=201)
        if request.query.get("watch"):
            return await self._watch(request)
        if request.method == "DELETE":
            for key in [key for key in self.objects if key[0] == namespace]:
                self._tell("DELETED", self.objects.pop(key))
        return web.json_response(self._list(namespace))

    def _list(self, namespace: str | None) -> Any:
        items = [o for (ns, _), o in self.objects.items() if namespace in (None, ns)]
        metadata = {"resourceVersion": str(self.revision)}
        kinds = {"kind": "FlunderList", "apiVersion": API_VERSION}
        return {**kinds, "metadata": metadata, "items": items}

    def _store(self, namespace: str, name: str, obj: Any, type_: str) -> None:
        self.revision += 1
        metadata = {**obj["metadata"], "resourceVersion": str(self.revision)}
        obj["metadata"] = {**metadata, "namespace": namespace, "name": name}
        self.objects[namespace, name] = obj
        self._tell(type_, obj)

    def _tell(self, type_: str, obj: Any) -> None:
        for queue in self.watchers:
            queue.put_nowait({"type": type_, "object": obj})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self.watchers.add(queue)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        try:
            while True:
                await response.write(json.dumps(await queue.get()).encode() + b"\n")
        finally:
            self.watchers.discard(queue)


def _subject(request: web.Request) -> str:
    assert request.transport is not None
    found = request.transport.get_extra_info("peercert") or {}
    return "".join(value for ((name, value),) in found.get("subject", ()) if name == "commonName")


def _status(code: int, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message}
    return web.json_response({**body, "reason": "NotFound", "code": code}, status=code)


def _openapi(path: str) -> web.Response:
    if path == "/openapi/v3":
        url = f"/openapi/v3{BASE}?hash=ABC"
        return web.json_response({"paths": {BASE.strip("/"): {"serverRelativeURL": url}}})
    if path == "/openapi/v2":
        operation = {"responses": {"200": {"schema": {"$ref": f"#/definitions/{NAME}"}}}}
        paths = {f"{BASE}/namespaces/{{namespace}}/flunders/{{name}}": {"get": operation}}
        meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
        definitions = {NAME: SCHEMA, meta: META, "unused": {"type": "object"}}
        return web.json_response(
            {"swagger": "2.0", "paths": {**paths, "/version/": {}}, "definitions": definitions}
        )
    return web.json_response({"openapi": "3.0.0", "paths": {}, "components": {"schemas": {}}})


async def _echo(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(f"{request.headers['X-Remote-User']}: {message.data}")
    return socket


@contextlib.asynccontextmanager
async def extension_server(context: ssl.SSLContext, *, host: str) -> AsyncIterator[Extension]:
    """``context`` must verify client certificates."""
    extension = Extension()
    server = web.Server(extension.handle)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(server, host, 0, ssl=context)
    extension.port = listener.sockets[0].getsockname()[1]
    try:
        yield extension
    finally:
        listener.close()
        await server.shutdown(0.1)


def api_service(name: str, service: dict[str, Any] | None, **spec: Any) -> dict[str, Any]:
    version, _, group = name.partition(".")
    found = {
        "group": group,
        "version": version,
        "groupPriorityMinimum": 2000,
        "versionPriority": 200,
        **spec,
    }
    if service is not None:
        found["service"] = service
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": name, "labels": {"made-by": "test"}},
        "spec": found,
    }
