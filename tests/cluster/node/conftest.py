"""A real containerd, a real API server in this process, and the agent under test."""

import asyncio
import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sagong.api.call import Answer, Call
from sagong.api.errors import NotFound, ServiceUnavailable
from sagong.api.resources import ResourceTable
from sagong.api.types import Obj, User
from sagong.client.access import Access
from sagong.client.client import Client
from sagong.client.https import Https
from sagong.client.transport import Transport
from sagong.cmd.server import ServerConfig, serving
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds
from sagong.core.tasks import task_group
from sagong.local import containerd
from sagong.local.images import BUSYBOX_IMAGE, busybox_image, import_images
from sagong.node.agent import NodeAgent
from sagong.node.config import NodeAddress, NodeConfig

NODE = "node-under-test"
# Cgroups are the host's: another run of these tests must not take our pods for its orphans.
CGROUP_ROOT = f"kubepods-nodetest-{os.getpid()}"
BRIDGE = "sgnodetest0"
WAIT_SECONDS = 30.0
ADMIN = User("admin", groups=("system:masters", "system:authenticated"))

NODE_USER = User(f"system:node:{NODE}", groups=("system:nodes", "system:authenticated"))


def missing() -> str:
    """Why these tests cannot run here, or ""."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("containerd", "ctr", "runc"):
        if shutil.which(program) is None:
            return f"needs {program}"
    if containerd.cni_plugin_dir() is None:
        return "needs the CNI plugins"
    return "" if Path("/bin/busybox").exists() else "needs busybox-static"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    reason = missing()
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def _conflist(directory: Path) -> str:
    ipam = {
        "type": "host-local",
        "dataDir": str(directory / "ipam"),
        "ranges": [[{"subnet": "10.244.251.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipam": ipam}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    name = {"cniVersion": "0.4.0", "name": "sagong-node-test"}
    return json.dumps({**name, "plugins": [bridge, portmap]})


@pytest.fixture(scope="session")
def runtime() -> Iterator[containerd.ContainerdInstance]:
    """A containerd of our own; nothing of it is left afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="sgn-"))
    instance = containerd.instance_for(directory / "n", directory / "r")
    try:
        instance.cni_conf_dir.mkdir(parents=True)
        (instance.cni_conf_dir / "10-test.conflist").write_text(_conflist(directory))
        asyncio.run(_start(instance, directory))
        yield instance
    finally:
        asyncio.run(containerd.purge(instance, cgroup_roots=[CGROUP_ROOT]))
        subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)
        containerd.unmount_under([directory])
        shutil.rmtree(directory)


async def _start(instance: containerd.ContainerdInstance, directory: Path) -> None:
    await containerd.start(instance)
    await import_images(instance.socket, directory, busybox_image())


@dataclass
class Link:
    """The way from the agent to the server; while it is cut no call gets through."""

    transport: Transport
    is_cut: bool = False

    async def send(self, call: Call) -> Answer:
        if self.is_cut:
            raise ServiceUnavailable("the way to the server is cut")
        return await self.transport.send(call)

    async def close(self) -> None:
        await self.transport.close()


@dataclass
class Node:
    """What a test works with."""

    client: Client  # an administrator's
    node_client: Client  # with the node's own identity, and no more rights than that
    config: NodeConfig
    runtime: containerd.ContainerdInstance
    link: Link

    @contextlib.contextmanager
    def server_away(self) -> Iterator[None]:
        """No call of the agent gets through; watches that are open hear nothing worth it."""
        self.link.is_cut = True
        try:
            yield
        finally:
            self.link.is_cut = False

    @contextlib.asynccontextmanager
    async def running_agent(self, **changes: Any) -> AsyncIterator[NodeAgent]:
        """An agent while the block runs; leaving it is like killing it."""
        config = dataclasses.replace(self.config, **changes)
        agent = NodeAgent(config, self.node_client, clock=SystemClock(), ids=SystemIds())
        async with task_group() as tasks:
            tasks.start(agent.run(), name="agent")
            await agent.wait_ready()
            self.agent = agent
            try:
                yield agent
            finally:
                self.agent = None

    @contextlib.asynccontextmanager
    async def agent_without_server(self, **changes: Any) -> AsyncIterator[NodeAgent]:
        """An agent whose API server is not there."""
        config = dataclasses.replace(self.config, **changes)
        client = Client(Https(Access("http://127.0.0.1:9")), ResourceTable())
        agent = NodeAgent(config, client, clock=SystemClock(), ids=SystemIds())
        try:
            async with task_group() as tasks:
                tasks.start(agent.run(), name="agent")
                yield agent
        finally:
            await client.close()

    async def create(self, pod: Obj) -> Obj:
        return await self.client.create("pods", pod)

    async def get(self, name: str) -> Obj:
        return await self.client.get("pods", name, namespace="default")

    async def wait_pod(self, name: str, holds: Callable[[Obj], bool]) -> Obj:
        """The pod once a condition on it holds; fails the test with its status otherwise."""
        pod: Obj = {}
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    with contextlib.suppress(NotFound):
                        pod = await self.get(name)
                    if pod and holds(pod):
                        return pod
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"pod {name} is {json.dumps(pod.get('status'), indent=1)}")

    async def wait_node(self, holds: Callable[[Obj], bool]) -> None:
        """Until a condition on the node's own object holds."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds(await self.client.get("nodes", NODE)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def wait_gone(self, name: str) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    await self.get(name)
                except NotFound:
                    return
                await asyncio.sleep(0.05)

    async def delete(self, name: str, **options: Any) -> None:
        """Delete, and wait until nothing is left of it, on the node neither."""
        uid = (await self.get(name))["metadata"]["uid"]
        await self.client.delete("pods", name, namespace="default", **options)
        await self.wait_gone(name)
        await self.wait(lambda: self.agent is None or uid not in self.agent.workers)

    async def wait(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def wait_until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not await holds():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def wait_event(self, name: str, reason: str, text: str = "") -> str:
        """The message of an event about a pod that contains the text."""
        seen: list[tuple[str, str]] = []
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    seen = await self.events(name)
                    for given, message in seen:
                        if given == reason and text in message:
                            return message
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"no event {reason} {text!r} about {name}, but {seen}")

    def log(self, pod: Obj, container: str, attempt: int = 0) -> str:
        """The text of a container's log, without the CRI's prefixes."""
        metadata = pod["metadata"]
        name = f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"
        path = self.config.log_dir / name / container / f"{attempt}.log"
        return "\n".join(line.split(" ", 3)[3] for line in path.read_text().splitlines())

    async def wait_log(self, pod: Obj, container: str, lines: int = 1) -> list[str]:
        """A container's first lines, once there are so many: a Ready pod may not have said all."""
        await self.wait(lambda: len(self.log(pod, container).splitlines()) >= lines)
        return self.log(pod, container).splitlines()

    async def events(self, name: str) -> list[tuple[str, str]]:
        listing = await self.client.list("events", namespace="default")
        events = [item.obj for item in listing.items]
        return [(e["reason"], e["message"]) for e in events if e["involvedObject"]["name"] == name]


def _linked(client: Client) -> tuple[Link, Client]:
    link = Link(client.transport)
    return link, Client(link, client.resources)


@pytest.fixture
async def node(runtime: containerd.ContainerdInstance, tmp_path: Path) -> AsyncIterator[Node]:
    """A server without agent; start one with ``node.running_agent()``. Pods are removed after."""
    data = runtime.root.parent / "agent"
    config = NodeConfig(
        name=NODE,
        data_dir=data,
        runtime_endpoint=runtime.endpoint,
        addresses=(NodeAddress("InternalIP", "10.244.251.1"), NodeAddress("Hostname", NODE)),
        log_dir=data / "logs",
        cgroup_root=CGROUP_ROOT,
        cluster_dns=("10.96.0.10",),
        may_lower_oom_score=containerd.may_lower_oom_score(),
        drain_seconds=0.0,
        volume_refresh_seconds=0.5,
    )
    clock, ids = SystemClock(), SystemIds()
    first = ServerConfig(tmp_path / "server", port=0, store="memory")
    async with serving(first, clock=clock, ids=ids) as server:
        client = server.client(ADMIN)
        await _give_account(client)
        link, own = _linked(server.client(NODE_USER))
        yield Node(client, own, config, runtime, link)
    # Whatever a test left is an orphan to the agent of the next: remove it here instead.
    empty = ServerConfig(tmp_path / "empty", port=0, store="memory")
    async with serving(empty, clock=clock, ids=ids) as server:
        link, own = _linked(server.client(NODE_USER))
        left = Node(server.client(ADMIN), own, config, runtime, link)
        async with left.running_agent() as agent:
            await left.wait(lambda: not agent.view.uids() and not agent.cgroups.pods())


async def _give_account(client: Client) -> None:
    """What the service account controller, which is not part of this, would make."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    account |= {"metadata": {"name": "default", "namespace": "default"}}
    await client.create("serviceaccounts", account)


def pod(name: str, *containers: Obj, **spec: Any) -> Obj:
    """A pod of this node; containers are given as their fields besides image."""
    listed = [{"image": BUSYBOX_IMAGE, "name": f"c{i}", **c} for i, c in enumerate(containers)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeName": NODE,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "containers": listed,
            **spec,
        },
    }


def shell(script: str, **fields: Any) -> Obj:
    return {"image": BUSYBOX_IMAGE, "command": ["sh", "-c", script], **fields}


FOREVER = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"


def is_ready(pod: Obj) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def phase_is(phase: str) -> Callable[[Obj], bool]:
    return lambda pod: (pod.get("status") or {}).get("phase") == phase
