"""port-forward and proxies into real pods; statistics and kubectl top."""

import asyncio
import json

import aiohttp
import pytest
from kubernetes import client as official
from kubernetes import config as official_config
from kubernetes.stream import portforward

from sagong.api.types import Obj

from .conftest import NODE, Cluster, pod, shell

pytestmark = pytest.mark.asyncio(loop_scope="session")

WEB = (
    "mkdir -p /www; echo '<a href=\"/x\">hi</a>' > /www/index.html; "
    "dd if=/dev/zero of=/www/big bs=1M count=8 2>/dev/null; exec httpd -f -p 8080 -h /www"
)


def web(name: str) -> Obj:
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    made = pod(name, shell(WEB, ports=[{"containerPort": 8080}], readinessProbe=probe))
    made["metadata"]["labels"] = {"app": name}
    return made


@pytest.mark.parametrize("websockets", ["true", "false"])
async def test_port_forward(cluster: Cluster, websockets: str) -> None:
    name = f"forward-{websockets}"
    await cluster.run(web(name))
    env = {"KUBECTL_PORT_FORWARD_WEBSOCKETS": websockets}
    process = await cluster.start("port-forward", name, ":8080", env=env)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            said = (await process.stdout.readline()).decode()
            assert said.startswith("Forwarding from 127.0.0.1:"), said
            url = "http://" + said.split()[2]
            async with aiohttp.ClientSession() as session:

                async def size(path: str) -> int:
                    async with session.get(url + path) as answer:
                        return len(await answer.read())

                sizes = await asyncio.gather(*(size("/big") for _ in range(4)))
                assert sizes == [8 * 1024 * 1024] * 4
                assert await size("/index.html") == 20
    finally:
        process.terminate()
        await process.communicate()


async def test_the_official_python_client_forwards(cluster: Cluster) -> None:
    await cluster.run(web("python-forward"))

    def talk() -> bytes:
        api = official.CoreV1Api(official_config.new_client_from_config(str(cluster.kubeconfig)))
        forward = portforward(
            api.connect_get_namespaced_pod_portforward, "python-forward", "default", ports="8080"
        )
        socket = forward.socket(8080)
        socket.setblocking(True)
        socket.sendall(b"GET / HTTP/1.0\r\n\r\n")
        found = b""
        while data := socket.recv(4096):
            found += data
        forward.close()
        return found

    assert (await asyncio.to_thread(talk)).endswith(b'<a href="/x">hi</a>\n')


async def test_proxies(cluster: Cluster) -> None:
    await cluster.run(web("proxied"))
    ports = [{"name": "web", "port": 80, "targetPort": 8080}]
    service: Obj = {"apiVersion": "v1", "kind": "Service"}
    service["metadata"] = {"name": "proxied", "namespace": "default"}
    service["spec"] = {"selector": {"app": "proxied"}, "ports": ports}
    await cluster.client.create("services", service)
    base = "/api/v1/namespaces/default"

    async def raw(path: str) -> str:
        done = await cluster.kubectl("get", "--raw", path)
        return done.out or done.err

    async with asyncio.timeout(20):
        while True:
            if "no endpoints" not in await raw(f"{base}/services/proxied:web/proxy/"):
                break
    for name in ("pods/proxied", "pods/proxied:8080", "services/proxied:80"):
        path = f"{base}/{name}/proxy"
        assert await raw(path + "/") == f'<a href="{path}/x">hi</a>\n'
    refused = {
        f"{base}/pods/absent/proxy/": '(NotFound): pods "absent" not found',
        f"{base}/services/proxied:99/proxy/": (
            '(ServiceUnavailable): no service port 99 found for service "proxied"'
        ),
        f"{base}/services/proxied:none/proxy/": (
            '(ServiceUnavailable): no endpoints available for service "proxied:none"'
        ),
        f"{base}/pods/proxied:81/proxy/": (
            "(ServiceUnavailable): error trying to reach service: dial tcp"
        ),
    }
    for path, text in refused.items():
        assert text in await raw(path)
    assert await raw(f"/api/v1/nodes/{NODE}/proxy/healthz") == "ok"


async def test_statistics_and_top(cluster: Cluster) -> None:
    busy = "while :; do :; done"
    seen = await cluster.run(pod("busy", shell(busy)))
    path = f"/api/v1/nodes/{NODE}/proxy/stats/summary"

    async def summary() -> tuple[Obj, Obj]:
        done = await cluster.kubectl("get", "--raw", path)
        found = json.loads(done.out)
        uid = seen["metadata"]["uid"]
        return found["node"], next((p for p in found["pods"] if p["podRef"]["uid"] == uid), {})

    async with asyncio.timeout(30):
        while True:
            # The sampler may not have met a new pod yet.
            if "usageNanoCores" in (await summary())[1].get("cpu", {}):
                break
    node, busy_pod = await summary()
    assert node["nodeName"] == NODE
    assert node["fs"]["capacityBytes"] > node["fs"]["availableBytes"] > 0
    (container,) = busy_pod["containers"]
    assert container["name"] == "c0"
    assert container["cpu"]["usageCoreNanoSeconds"] > 0
    assert container["memory"]["workingSetBytes"] > 0
    assert busy_pod["network"]["name"] == "eth0"
    assert container["logs"]["usedBytes"] >= 0
    async with asyncio.timeout(60):
        while True:
            done = await cluster.kubectl("top", "pod", "busy", "--no-headers")
            if done.code == 0 and done.out.split()[1] not in ("0m", "1m"):
                break
            await asyncio.sleep(1.0)
    assert done.out.split()[0] == "busy"
    assert (await cluster.kubectl("top", "nodes", "--no-headers")).out.startswith(NODE)
    await cluster.remove("busy")
