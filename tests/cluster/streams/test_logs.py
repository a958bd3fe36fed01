"""kubectl logs against real containers."""

import asyncio
import json

import pytest

from .conftest import FOREVER, NODE, Cluster, pod, shell

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_logs_in_all_ways(cluster: Cluster) -> None:
    script = f"for i in 1 2 3; do echo line $i; done; {FOREVER}"
    await cluster.run(pod("logs", shell(script), shell(f"echo other >&2; {FOREVER}")))

    async def logs(*arguments: str) -> list[str]:
        done = await cluster.kubectl("logs", "logs", *arguments)
        assert done.code == 0, done.err
        return done.out.splitlines()

    assert await logs("-c", "c0") == ["line 1", "line 2", "line 3"]
    assert await logs("-c", "c0", "--tail=2") == ["line 2", "line 3"]
    assert await logs("-c", "c0", "--since=1h", "--tail=1") == ["line 3"]
    assert await logs("-c", "c0", "--limit-bytes=4") == ["line"]
    assert await logs("-c", "c0", "--since-time=2100-01-01T00:00:00Z") == []
    assert await logs("-c", "c1") == ["other"]
    assert sorted(await logs("--all-containers", "--prefix"))[-1] == "[pod/logs/c1] other"
    (stamped,) = await logs("-c", "c0", "--timestamps", "--tail=1")
    stamp, _, text = stamped.partition(" ")
    assert (len(stamp), stamp[-1], text) == (30, "Z", "line 3")


async def test_following_sees_what_is_written_and_ends_with_the_container(
    cluster: Cluster,
) -> None:
    # The container writes when told to, and ends when told to.
    script = "read x; echo got $x; read x; echo bye"
    await cluster.run(pod("follow", shell(script, stdin=True), restartPolicy="Never"))
    reader = await cluster.start("logs", "-f", "follow")
    writer = await cluster.start("attach", "-i", "follow", stdin=asyncio.subprocess.PIPE)
    assert reader.stdout is not None
    assert writer.stdin is not None
    async with asyncio.timeout(20):
        writer.stdin.write(b"one\n")
        assert await reader.stdout.readline() == b"got one\n"
        writer.stdin.write(b"two\n")
        assert await reader.stdout.readline() == b"bye\n"
        assert await reader.wait() == 0
        await writer.communicate()


async def test_previous_and_what_is_refused(cluster: Cluster) -> None:
    await cluster.client.create("pods", pod("again", shell("echo $((1)); exit 1")))
    async with asyncio.timeout(30):
        while True:
            seen = await cluster.client.get("pods", "again", namespace="default")
            statuses = (seen.get("status") or {}).get("containerStatuses") or [{}]
            if statuses[0].get("restartCount", 0) >= 1:
                break
            await asyncio.sleep(0.05)
    done = await cluster.kubectl("logs", "again", "-p")
    assert (done.code, done.out) == (0, "1\n")
    await cluster.run(pod("fresh", shell(FOREVER), shell(FOREVER)))
    refused = {
        ("fresh", "-c", "c0", "-p"): 'Error from server (BadRequest): previous terminated '
        'container "c0" in pod "fresh" not found\n',
        ("fresh", "-c", "x"): "error: container x is not valid for pod fresh\n",
        ("absent",): 'error: error from server (NotFound): pods "absent" not found in namespace '
        '"default"\n',
    }  # fmt: skip
    for arguments, text in refused.items():
        done = await cluster.kubectl("logs", *arguments)
        assert done.code == 1
        assert done.err == text
    raw = "/api/v1/namespaces/default/pods/fresh/log"
    done = await cluster.kubectl("get", "--raw", raw)
    assert done.err == (
        "Error from server (BadRequest): a container name must be specified for pod fresh, "
        "choose one of: [c0 c1]\n"
    )
    done = await cluster.kubectl("get", "--raw", raw + "?container=c0&tailLines=-1")
    assert "must be greater than or equal to 0" in done.err


async def test_waiting_containers_say_why(cluster: Cluster) -> None:
    never = {"image": "sagong.local/absent:1", "imagePullPolicy": "Never"}
    await cluster.client.create("pods", pod("waiting", never))
    async with asyncio.timeout(20):
        while True:
            done = await cluster.kubectl("logs", "waiting")
            if "ErrImageNeverPull" in done.err:
                break
            assert "waiting to start" in done.err
    assert done.err == (
        'Error from server (BadRequest): container "c0" in pod "waiting" is waiting to start: '
        "ErrImageNeverPull\n"
    )


async def test_an_unreachable_node(cluster: Cluster) -> None:
    node = await cluster.client.get("nodes", NODE)
    name = "node-away"
    status = {
        **node["status"],
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}},
    }
    await cluster.client.create(
        "nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    )
    made = await cluster.client.get("nodes", name)
    await cluster.client.update("nodes", {**made, "status": status}, subresource="status")
    await cluster.client.create("pods", pod("away", shell("true"), nodeName=name))
    done = await cluster.kubectl("logs", "away")
    assert done.err == (
        'Error from server: Get "https://127.0.0.1:1/containerLogs/default/away/c0?stream=All": '
        "dial tcp 127.0.0.1:1: connect: connection refused\n"
    )
    done = await cluster.kubectl("exec", "away", "--", "true")
    assert "dial tcp 127.0.0.1:1: connect: connection refused" in done.err
    done = await cluster.kubectl("get", "--raw", "/api/v1/nodes")
    assert json.loads(done.out)["kind"] == "NodeList"
