"""The HTTPS transport against a real TLS server, its good answers, refusals and failures."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sagong.api.call import EventType, PatchType
from sagong.api.errors import (
    Conflict,
    Expired,
    InternalError,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
)
from sagong.api.resources import ResourceTable
from sagong.api.types import Subresource
from sagong.client import https as https_module
from sagong.client.access import Access
from sagong.client.client import Client
from sagong.client.discovery import add_discovered
from sagong.client.https import Https
from sagong.server.pki.authority import Authority, Identity, Pair, new_authority

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
DAY = 86400.0


class Server:
    """A TLS server that answers with the handler it is given and remembers what it was asked."""

    def __init__(self, tmp_path: Path) -> None:
        now = time.time()
        self.ca = new_authority("ca", now=now, ttl_seconds=DAY)
        self.authority = Authority(self.ca)
        self.pair = self.issue(
            Identity("server", addresses=("127.0.0.1",), usages=("server auth",))
        )
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.answer: Handler = self.echo
        self.tmp_path = tmp_path
        self.url = ""

    def issue(self, identity: Identity) -> Pair:
        return self.authority.issue(identity, now=time.time(), ttl_seconds=DAY)

    def access(self, **fields: Any) -> Access:
        return Access(self.url, ca=self.ca.certificate_pem, **fields)

    def client(self, **fields: Any) -> Client:
        return Client(Https(self.access(**fields)), ResourceTable(), user_agent="tester/1")

    async def echo(self, request: web.Request) -> web.Response:
        return web.json_response({"kind": "Pod", "metadata": {"name": "echo"}})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        return await self.answer(request)

    def tls(self) -> ssl.SSLContext:
        for name, data in (("crt", self.pair.certificate_pem), ("key", self.pair.key_pem)):
            (self.tmp_path / name).write_bytes(data)
        context = ssl.create_default_context(
            ssl.Purpose.CLIENT_AUTH, cadata=self.ca.certificate_pem.decode()
        )
        context.load_cert_chain(self.tmp_path / "crt", self.tmp_path / "key")
        context.verify_mode = ssl.CERT_OPTIONAL
        return context


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server.tls())
    await site.start()
    server.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    client = server.client(token="secret")
    yield client
    await client.close()


def status(code: int, reason: str, message: str = "m", **details: Any) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message}
    headers = {}
    if "retryAfterSeconds" in details:
        headers["Retry-After"] = str(details["retryAfterSeconds"])
    found = body | {"code": code, "details": details}
    return web.json_response(found, status=code, headers=headers)


async def test_requests_are_as_the_api_wants_them(server: Server, client: Client) -> None:
    pod = {"kind": "Pod", "metadata": {"name": "a", "namespace": "n"}}
    await client.get("clusterroles.rbac.authorization.k8s.io", "system:node")
    await client.list("pods", label_selector="a=b,c", limit=5, continue_="x/y+z")
    await client.create("pods", pod, field_manager="me", dry_run=True)
    await client.update("pods", pod, subresource="status")
    await client.patch("pods", "a", {"x": 1}, namespace="n", patch_type=PatchType.APPLY, force=True)
    await client.delete("pods", "a", namespace="n", uid="u", grace_period_seconds=0)
    await client.delete_collection("pods", namespace="n", label_selector="a")
    asked = [(r.method, r.path_qs) for r in server.requests]
    assert asked == [
        ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode"),
        ("GET", "/api/v1/pods?labelSelector=a%3Db,c&limit=5&continue=x/y%2Bz"),
        ("POST", "/api/v1/namespaces/n/pods?dryRun=All&fieldManager=me"),
        ("PUT", "/api/v1/namespaces/n/pods/a/status"),
        ("PATCH", "/api/v1/namespaces/n/pods/a?force=true"),
        ("DELETE", "/api/v1/namespaces/n/pods/a"),
        ("DELETE", "/api/v1/namespaces/n/pods?labelSelector=a"),
    ]
    assert server.requests[1].query["continue"] == "x/y+z"
    assert server.requests[4].headers["Content-Type"] == "application/apply-patch+yaml"
    assert server.bodies[5] == (
        b'{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0,'
        b'"preconditions":{"uid":"u"}}'
    )
    for request in server.requests:
        assert request.headers["Authorization"] == "Bearer secret"
        assert request.headers["User-Agent"] == "tester/1"


async def test_list_items_get_their_kind_back(server: Server, client: Client) -> None:
    async def answer(request: web.Request) -> web.Response:
        meta = {"resourceVersion": "7", "continue": "next", "remainingItemCount": 3}
        body = {"kind": "PodList", "metadata": meta, "items": [{"metadata": {"name": "a"}}]}
        return web.json_response(body, headers={"Warning": '299 - "old \\"api\\""'})

    server.answer = answer
    found = await client.list("pods")
    assert (found.resource_version, found.continue_, found.remaining) == ("7", "next", 3)
    assert [item.obj for item in found.items] == [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
    ]
    assert found.warnings == ('old "api"',)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (status(404, "NotFound", 'pods "a" not found'), NotFound, 'pods "a" not found'),
        (status(409, "Conflict", "changed"), Conflict, "changed"),
        (web.Response(status=503, text="upstream is away"), ServiceUnavailable, "upstream is away"),
        (web.Response(text="<html>"), InternalError, "not JSON"),
    ],
)
async def test_failures_are_api_errors(
    server: Server, client: Client, answer: web.Response, error: type[Exception], message: str
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return answer

    server.answer = handler
    with pytest.raises(error, match=message):
        (await client.list("pods")) if error is InternalError else (
            await client.get("pods", "a", namespace="n")
        )
    assert len(server.requests) == 1


async def test_429_with_retry_after_is_tried_again(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def no_sleep(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", no_sleep)

    async def answer(request: web.Request) -> web.Response:
        if len(server.requests) < 3:
            return status(429, "TooManyRequests", retryAfterSeconds=1)
        return await server.echo(request)

    server.answer = answer
    await client.create("pods", {"metadata": {"name": "a", "namespace": "n"}})
    assert slept == [1, 1]

    async def refuse(request: web.Request) -> web.Response:
        return status(429, "TooManyRequests", "Cannot evict pod")

    server.answer = refuse
    server.requests.clear()
    with pytest.raises(TooManyRequests, match="Cannot evict"):
        await client.create("pods", {}, namespace="n", name="a", subresource="eviction")
    assert len(server.requests) == 1


async def test_a_lost_connection_is_retried_for_reads_only(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(https_module, "RETRY_FIRST_SECONDS", 0.001)

    async def drop(request: web.Request) -> web.StreamResponse:
        if len(server.requests) <= 2:
            assert request.transport
            request.transport.close()
        return await server.echo(request)

    server.answer = drop
    assert (await client.get("pods", "a", namespace="n"))["kind"] == "Pod"
    assert len(server.requests) == 3
    server.requests.clear()
    with pytest.raises(ServiceUnavailable, match="cannot reach"):
        await client.patch("pods", "a", {}, namespace="n")
    assert len(server.requests) == 1


async def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https_module, "RETRY_FIRST_SECONDS", 0.001)
    client = Client(Https(Access("http://127.0.0.1:1")), ResourceTable())
    with pytest.raises(ServiceUnavailable, match="cannot reach"):
        await client.create("pods", {"metadata": {"name": "a"}}, namespace="n")
    await client.close()


async def test_watch_reads_events_however_they_are_cut(server: Server, client: Client) -> None:
    release = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        assert dict(request.query) == {
            "watch": "true",
            "resourceVersion": "5",
            "allowWatchBookmarks": "true",
        }
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n{"type":')
        await asyncio.sleep(0.01)
        await response.write(b'"MODIFIED","object":{"metadata":{"name":"b"}}}\n\n')
        big = b'{"type":"BOOKMARK","object":{"x":"' + b"y" * 300_000 + b'"}}\n'
        await response.write(big)
        await release.wait()
        gone = b'{"type":"ERROR","object":{"code":410,"reason":"Expired","message":"too old"}}\n'
        await response.write(gone)
        return response

    server.answer = stream
    events = await client.watch("pods", resource_version="5")
    seen = [await anext(events) for _ in range(3)]
    assert [e.type for e in seen] == [EventType.ADDED, EventType.MODIFIED, EventType.BOOKMARK]
    assert [e.obj["metadata"]["name"] for e in seen[:2]] == ["a", "b"]
    release.set()
    with pytest.raises(Expired, match="too old"):
        await anext(events)


async def test_a_watch_that_breaks_off_is_an_error_and_one_that_ends_is_not(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = b'{"type":"ADDED","object":{}}\n'

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(event)
        if len(server.requests) == 1:
            assert request.transport
            request.transport.abort()
        return response

    server.answer = stream
    broken = await client.watch("pods")
    with pytest.raises(ServiceUnavailable, match="broke off"):
        [event async for event in broken]
    ended = await client.watch("pods")
    assert len([event async for event in ended]) == 1
    monkeypatch.setattr(https_module, "LINE_BYTES_MAX", 10)
    event = b'{"type":"ADDED",'
    with pytest.raises(InternalError, match="longer than"):
        [event async for event in await client.watch("pods")]


async def test_closing_a_watch_closes_its_connection(server: Server, client: Client) -> None:
    ended = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b'{"type":"ADDED","object":{}}\n')
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    server.answer = stream
    async with aclosing(await client.watch("pods")) as events:  # type: ignore[type-var]
        await anext(events)
    await asyncio.wait_for(ended.wait(), 5)


async def test_client_certificates_and_rotating_tokens(server: Server, tmp_path: Path) -> None:
    peers: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport
        peers.append(request.transport.get_extra_info("peercert"))
        return await server.echo(request)

    server.answer = answer
    pair = server.issue(Identity("jane", organizations=("devs",), usages=("client auth",)))
    client = server.client(certificate=pair.certificate_pem, key=pair.key_pem)
    await client.get("nodes", "a")
    await client.close()
    subject = {name: value for ((name, value),) in peers[0]["subject"]}
    assert subject == {"commonName": "jane", "organizationName": "devs"}

    file = tmp_path / "token"
    file.write_text("one\n")
    client = server.client(token_file=file)
    await client.get("nodes", "a")
    (tmp_path / "new").write_text("two\n")
    (tmp_path / "new").rename(file)
    await client.get("nodes", "a")
    file.unlink()
    await client.get("nodes", "a")
    await client.close()
    tokens = [r.headers["Authorization"] for r in server.requests[-3:]]
    assert tokens == ["Bearer one", "Bearer two", "Bearer two"]


async def test_an_unknown_authority_is_refused(server: Server, tmp_path: Path) -> None:
    other = new_authority("other", now=time.time(), ttl_seconds=DAY)
    access = replace(server.access(), ca=other.certificate_pem)
    client = Client(Https(access), ResourceTable())
    with pytest.raises(ServiceUnavailable, match=r"(?i)certificate"):
        await client.get("nodes", "a")
    await client.close()
    trusting = Client(Https(replace(access, insecure=True)), ResourceTable())
    await trusting.get("nodes", "a")
    await trusting.close()


async def test_discovery_adds_what_only_this_server_serves(server: Server) -> None:
    def resource(plural: str, kind: str, scope: str, **more: Any) -> dict[str, Any]:
        head = {"resource": plural, "responseKind": {"kind": kind}, "scope": scope}
        return head | {"verbs": ["list", "get"]} | more

    scale = {
        "subresource": "scale",
        "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
        "verbs": ["get"],
    }
    boats = resource("boats", "Boat", "Namespaced", shortNames=["bo"], subresources=[scale])
    groups = {
        "/api": [
            {
                "metadata": {},
                "versions": [{"version": "v1", "resources": [resource("pods", "Pod", "x")]}],
            }
        ],
        "/apis": [
            {
                "metadata": {"name": "sea.io"},
                "versions": [
                    {"version": "v2", "resources": [boats]},
                    {"version": "v1", "resources": [boats]},
                ],
            }
        ],
    }

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"kind": "APIGroupDiscoveryList", "items": groups[request.path]})

    server.answer = answer
    table, transport = ResourceTable(), Https(server.access())
    pods = table.named("pods")
    await add_discovered(table, transport)
    await transport.close()
    found = table.named("boats.sea.io")
    assert found is not None
    assert (found.version, found.short_names, found.namespaced) == ("v2", ("bo",), True)
    assert found.subresources == (Subresource("scale", "Scale", ("get",), "autoscaling", "v1"),)
    assert table.find("sea.io", "v1", "boats") is not None
    assert table.named("pods") is pods
