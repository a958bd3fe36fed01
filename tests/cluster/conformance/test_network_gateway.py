"""The Gateway API on the nodes' proxies: definitions, status, and requests."""

import asyncio
import shutil
import sys

import aiohttp
import pytest
from tests.cluster.conformance.cluster import WAIT_SECONDS, Space
from tests.cluster.conformance.net_scene import node_addresses
from tests.cluster.conformance.test_network_ingress import (  # noqa: F401 - a fixture
    backends,
    browser,
    told,
)

from sagong.api import gateway as api
from sagong.api.types import Obj

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")
PORT = 8181


def is_(status: Obj, kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in status.get("conditions") or ())


async def test_a_route_is_served_and_says_so(
    space: Space,
    browser: aiohttp.ClientSession,  # noqa: F811
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sagong", "gateway-api", stdout=asyncio.subprocess.PIPE
    )
    printed = (await process.communicate())[0].decode()
    await space.kubectl("apply", "-f", "-", stdin=printed)
    for resource in api.resources():
        space.client.resources.add(resource)
        await space.kubectl("wait", "--for=condition=Established", f"crd/{resource.name}")
    await backends(space, "one", "two")
    listener = {"name": "http", "port": PORT, "protocol": "HTTP"}
    gateway = {"gatewayClassName": "sagong", "listeners": [listener]}
    await space.create(api.GATEWAYS, {"metadata": {"name": "gw"}, "spec": gateway})
    host = f"gw.{space.name}.example.com"
    header = [{"name": "x-two", "value": "yes"}]
    rules = [
        {"backendRefs": [{"name": "one", "port": 80}]},
        {"matches": [{"headers": header}], "backendRefs": [{"name": "two", "port": 80}]},
    ]
    parents = [{"name": "gw"}]
    spec = {"parentRefs": parents, "hostnames": [host], "rules": rules}
    await space.create(api.ROUTES, {"metadata": {"name": "r"}, "spec": spec})
    found = await space.wait(
        api.ROUTES, "r", lambda r: bool((r.get("status") or {}).get("parents"))
    )
    (parent,) = found["status"]["parents"]
    assert parent["controllerName"] == api.CONTROLLER
    assert is_(parent, "Accepted")
    assert is_(parent, "ResolvedRefs")
    seen = await space.wait(
        api.GATEWAYS,
        "gw",
        lambda g: (g.get("status") or {}).get("listeners", [{}])[0].get("attachedRoutes") == 1,
    )
    assert is_(seen["status"], "Programmed")
    addresses = await node_addresses(space)
    assert [a["value"] for a in seen["status"]["addresses"]] == sorted(addresses.values())
    for address in addresses.values():
        async with asyncio.timeout(WAIT_SECONDS):
            while await told(browser, f"{address}:{PORT}", host) != "one":
                pass
        headers = {"Host": host, "X-Two": "yes"}
        async with browser.get(f"http://{address}:{PORT}/hostname", headers=headers) as answer:
            assert await answer.text() == "two"
    await space.patch(api.ROUTES, "r", {"spec": {"parentRefs": [{"name": "other"}]}})
    await space.wait(api.ROUTES, "r", lambda r: not r["status"]["parents"])
    async with asyncio.timeout(WAIT_SECONDS):
        while await told(browser, f"{address}:{PORT}", host) != "404":
            pass
    await space.delete(api.GATEWAYS, "gw")
