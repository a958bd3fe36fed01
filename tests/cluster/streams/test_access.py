"""Who may ask an agent directly, and that streams end with their clients."""

import asyncio
import ssl
from collections.abc import Callable

import aiohttp
import pytest

from sagong.client.kubeconfig import read_context

from .conftest import FOREVER, Cluster, pod, shell

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def answered(url: str, tls: ssl.SSLContext, token: str = "") -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, ssl=tls, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def test_checkpoints_are_asked_of_the_runtime(cluster: Cluster) -> None:
    await cluster.run(pod("frozen", shell(FOREVER)))
    port, tls = cluster.agent.config.kubelet_port, administrator(cluster)

    async def asked(path: str) -> tuple[int, str]:
        url = f"https://127.0.0.1:{port}/checkpoint/default/{path}"
        async with aiohttp.ClientSession() as session, session.post(url, ssl=tls) as answer:
            return answer.status, await answer.text()

    assert await asked("absent/c0") == (404, "pod does not exist")
    assert await asked("frozen/c9") == (404, "container c9 does not exist")
    timeout = (404, "cannot parse value of timeout parameter")
    assert await asked("frozen/c0?timeout=soon") == timeout
    # containerd makes checkpoints from 2.0 on; an older one says that it does not know how.
    status, text = await asked("frozen/c0?timeout=5")
    expected = {200: '{"items":["', 500: "checkpointing of default/frozen/c0 failed ("}
    assert text.startswith(expected[status])
    await cluster.remove("frozen")


def administrator(cluster: Cluster) -> ssl.SSLContext:
    admin = read_context(cluster.kubeconfig).access.ssl_context()
    assert admin is not None
    admin.check_hostname = False
    admin.verify_mode = ssl.CERT_NONE
    return admin


async def test_access_to_the_agent(cluster: Cluster) -> None:
    url = f"https://127.0.0.1:{cluster.agent.config.kubelet_port}"
    assert await answered(url + "/pods", unverified()) == (401, "Unauthorized")
    assert (await answered(url + "/pods", unverified(), "forged"))[0] == 401
    token = (await cluster.kubectl("create", "token", "default")).out.strip()
    status, text = await answered(url + "/stats/summary", unverified(), token)
    assert status == 403
    assert "user=system:serviceaccount:default:default, verb=get, resource=nodes" in text
    role = ("create", "clusterrole", "stats", "--verb=get", "--resource=nodes/metrics")
    assert (await cluster.kubectl(*role)).code == 0
    bind = ("create", "clusterrolebinding", "stats", "--clusterrole=stats")
    assert (await cluster.kubectl(*bind, "--serviceaccount=default:default")).code == 0
    status, text = await answered(url + "/metrics/resource", unverified(), token)
    assert (status, "node_cpu_usage_seconds_total" in text) == (200, True)
    assert (await answered(url + "/metrics/cadvisor", unverified(), token))[0] == 200
    admin = administrator(cluster)
    for path in ("/healthz", "/healthz/ping", "/healthz/syncloop"):
        assert (await answered(url + path, admin)) == (200, "ok")
    status, text = await answered(url + "/metrics/probes", admin)
    assert (status, "# TYPE prober_probe_total counter" in text) == (200, True)
    status, text = await answered(url + "/runningpods/", admin)
    assert (status, '"kind":"PodList"' in text) == (200, True)


def open_files(cluster: Cluster, name: str) -> Callable[[], int]:
    """How many followers of a pod's logs this process has."""
    from pathlib import Path

    def count() -> int:
        links = [p for p in Path("/proc/self/fd").iterdir() if p.is_symlink()]
        targets = []
        for link in links:
            try:
                targets.append(str(link.readlink()))
            except OSError:
                continue
        return sum(1 for t in targets if f"_{name}_" in t and t.endswith("0.log"))

    return count


async def test_a_quiet_stream_ends_with_its_client(cluster: Cluster) -> None:
    await cluster.run(pod("quiet", shell(f"echo one; {FOREVER}")))
    count = open_files(cluster, "quiet")
    reader = await cluster.start("logs", "-f", "quiet")
    assert reader.stdout is not None
    async with asyncio.timeout(20):
        assert await reader.stdout.readline() == b"one\n"
        assert count() == 1
        reader.kill()
        await reader.communicate()
        while True:
            if not count():
                break
            await asyncio.sleep(0.1)
