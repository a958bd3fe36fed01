"""Pods and services through the API server, with every method and path.

Follows upstream's ``test/e2e/network/proxy.go``.
"""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from tests.cluster.conformance.cluster import Cluster, Space
from tests.cluster.conformance.net_scene import net_pod, run, service

from sagong.client.kubeconfig import read_context

METHODS = ("DELETE", "OPTIONS", "PATCH", "POST", "PUT")
SAFE = ("GET", "HEAD")


@pytest.fixture
async def http(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client with the administrator's certificate."""
    access = read_context(cluster.kubeconfig).access
    connector = aiohttp.TCPConnector(ssl=access.ssl_context() or True)
    async with aiohttp.ClientSession(access.server, connector=connector) as session:
        yield session


async def served(space: Space, *names: str) -> None:
    """A pod and a service, reachable through the API server at once."""
    pod = net_pod("agnhost", "http:80", "http:1080", labels={"app": "web"})
    ports = [
        {"name": "portname1", "port": 80, "targetPort": 80},
        {"name": "portname2", "port": 81, "targetPort": 1080},
    ]
    await asyncio.gather(
        run(space, pod),
        service(space, "plain", {"port": 80, "targetPort": 80}),
        service(space, "named", *ports),
    )
    await space.wait("endpoints", "named", lambda seen: bool(seen.get("subsets")))
    await space.wait("endpoints", "plain", lambda seen: bool(seen.get("subsets")))


async def said(
    http: aiohttp.ClientSession, method: str, path: str, wanted: int = 200, body: str = ""
) -> tuple[str, str]:
    """Text and location of an answer, asked for again while the server does not know the pod."""
    async with asyncio.timeout(30):
        while True:
            async with http.request(method, path, data=body, allow_redirects=False) as answer:
                text = await answer.text()
                if answer.status == wanted:
                    return text, answer.headers.get("Location", "")
                assert answer.status == 503, (method, path, answer.status, text)


async def test_every_method_reaches_a_path_behind_a_pod_and_a_service(
    space: Space, http: aiohttp.ClientSession
) -> None:
    await served(space)
    for target in ("pods/agnhost", "services/plain", "pods/agnhost:80", "services/named:portname1"):
        base = f"/api/v1/namespaces/{space.name}/{target}/proxy/some/path/with"
        for method in (*METHODS, *SAFE):
            body = "" if method in SAFE else "foo"
            text, _ = await said(http, method, f"{base}/{method}?method={method}", body=body)
            if method != "HEAD":
                told = json.loads(text)
                assert (told["Method"], told["Asked"], told["Body"]) == (method, method, body)
                assert told["Path"] == f"/some/path/with/{method}"


async def test_every_method_reaches_a_pod_and_a_service_without_a_path(
    space: Space, http: aiohttp.ClientSession
) -> None:
    await served(space)
    for target in ("pods/agnhost", "services/plain"):
        base = f"/api/v1/namespaces/{space.name}/{target}/proxy"
        for method in METHODS:
            text, _ = await said(http, method, f"{base}?method={method}", body="foo")
            assert json.loads(text)["Method"] == method
            assert json.loads(text)["Path"] == "/"
        for method in SAFE:
            # A page's relative links need the slash.
            _, location = await said(http, method, f"{base}?method={method}", 301)
            assert location == f"{base}/?method={method}"
            assert (await said(http, method, location))[0] or method == "HEAD"


async def test_ports_by_number_and_name_and_links_in_pages(
    space: Space, http: aiohttp.ClientSession
) -> None:
    await served(space)
    base = f"/api/v1/namespaces/{space.name}"
    for target in (
        "pods/agnhost",
        "pods/agnhost:1080",
        "pods/http:agnhost:80",
        "services/named:portname1",
        "services/named:portname2",
        "services/named:80",
        "services/named:81",
        "services/http:named:portname2",
    ):
        assert (await said(http, "GET", f"{base}/{target}/proxy/hostname"))[0] == "agnhost"
    page, _ = await said(http, "GET", f"{base}/pods/agnhost:1080/proxy/page")
    assert page == f'<a href="{base}/pods/agnhost:1080/proxy/rewriteme">test</a>'
    await said(http, "GET", f"{base}/services/none/proxy/", 404)
    async with http.get(f"{base}/services/named:82/proxy/") as answer:
        assert answer.status == 503
