"""One cluster for all tests here: a real containerd, an API server and an agent of this process,
reached with kubectl and the official Python client over HTTPS."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sagong.api.errors import NotFound
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.cmd.control_plane import control_plane
from sagong.cmd.server import SERVER_USER, Running, ServerConfig, serving
from sagong.controllers.configured import Settings
from sagong.core.clock import Clock, SystemClock
from sagong.core.ids import Ids, SystemIds
from sagong.core.tasks import task_group
from sagong.local import containerd
from sagong.local.images import BUSYBOX_IMAGE, busybox_image, import_images
from sagong.node.agent import NodeAgent
from sagong.node.config import NodeAddress, NodeConfig
from sagong.node.server.server import NodeServer, NodeServerSettings
from sagong.server.pki.signing import Signer

NODE = "node-of-streams"
CGROUP_ROOT = "kubepods-streamtest"
BRIDGE = "sgstreams0"
GATEWAY = "10.244.252.1"
WAIT_SECONDS = 30.0
FOREVER = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"


def missing() -> str:
    """Why these tests cannot run here, or ""."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("containerd", "ctr", "runc", "kubectl"):
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


@dataclass(frozen=True)
class Finished:
    """What a command left."""

    code: int
    out: str
    err: str


@dataclass
class Cluster:
    """What a test works with."""

    client: Client
    kubeconfig: Path
    url: str
    agent: NodeAgent

    def command(self, *arguments: str) -> list[str]:
        return ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]

    async def start(self, *arguments: str, **pipes: Any) -> asyncio.subprocess.Process:
        """kubectl under way; its output is a pipe."""
        return await asyncio.create_subprocess_exec(
            *self.command(*arguments),
            stdin=pipes.get("stdin", asyncio.subprocess.DEVNULL),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **pipes.get("env", {})},
        )

    async def kubectl(self, *arguments: str, input: bytes | None = None, **env: str) -> Finished:
        """kubectl once; ``input`` is its standard input."""
        stdin = asyncio.subprocess.DEVNULL if input is None else asyncio.subprocess.PIPE
        process = await self.start(*arguments, stdin=stdin, env=env)
        async with asyncio.timeout(WAIT_SECONDS):
            out, err = await process.communicate(input)
        return Finished(process.returncode or 0, out.decode(), err.decode())

    async def run(self, pod: Obj, *, until: str = "Ready") -> Obj:
        """Create a pod and wait until it is Ready, or in a phase."""
        await self.client.create("pods", pod)
        name, seen = pod["metadata"]["name"], pod
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not _is(seen, until):
                    await asyncio.sleep(0.05)
                    seen = await self.client.get("pods", name, namespace="default")
        except TimeoutError:
            pytest.fail(f"pod {name} is {json.dumps(seen.get('status'), indent=1)}")
        return seen

    async def remove(self, name: str) -> None:
        await self.client.delete("pods", name, namespace="default", grace_period_seconds=0)
        with contextlib.suppress(NotFound):
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    await self.client.get("pods", name, namespace="default")
                    await asyncio.sleep(0.05)


def _is(pod: Obj, wanted: str) -> bool:
    status = pod.get("status") or {}
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or []}
    return conditions.get(wanted) == "True" or status.get("phase") == wanted


def pod(name: str, *containers: Obj, **spec: Any) -> Obj:
    """A pod of the node; containers are given as their fields besides name and image."""
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
    return {"command": ["sh", "-c", script], **fields}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _conflist(directory: Path) -> str:
    ipam = {
        "type": "host-local",
        "dataDir": str(directory / "ipam"),
        "ranges": [[{"subnet": "10.244.252.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipam": ipam}
    return json.dumps({"cniVersion": "0.4.0", "name": "sagong-streams", "plugins": [bridge]})


@pytest.fixture(scope="session")
def runtime() -> Iterator[containerd.ContainerdInstance]:
    """A containerd of our own; nothing of it is left afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="sgs-"))
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


@pytest.fixture(scope="session")
def node_config(runtime: containerd.ContainerdInstance) -> NodeConfig:
    data = runtime.root.parent / "agent"
    return NodeConfig(
        name=NODE,
        data_dir=data,
        runtime_endpoint=runtime.endpoint,
        addresses=(NodeAddress("InternalIP", "127.0.0.1"), NodeAddress("Hostname", NODE)),
        log_dir=data / "logs",
        cgroup_root=CGROUP_ROOT,
        kubelet_port=free_port(),
        may_lower_oom_score=containerd.may_lower_oom_score(),
        drain_seconds=0.0,
    )


def _controlled(
    server: Running, clock: Clock, ids: Ids
) -> contextlib.AbstractAsyncContextManager[object]:
    settings = Settings(
        ca_certificate=server.pki.ca_file.read_text(),
        signer=Signer(server.pki.authority, clock),
        cluster_cidr="10.244.0.0/16",
        node_grace_seconds=50.0,
    )
    core = server.core
    return control_plane(core.server.dispatch, core.resources, settings, clock, ids)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster(
    node_config: NodeConfig, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cluster]:
    """The running cluster; its pods end with its containerd."""
    clock, ids = SystemClock(), SystemIds()
    config = ServerConfig(tmp_path_factory.mktemp("server"), port=0, store="memory")
    async with (
        serving(config, clock=clock, ids=ids) as server,
        _controlled(server, clock, ids),
        task_group() as tasks,
    ):
        client = server.client(SERVER_USER)
        agent = NodeAgent(node_config, client, clock=clock, ids=ids)
        settings = NodeServerSettings(
            node_config.data_dir / "pki", server.pki.ca_file.read_bytes(), hosts=("127.0.0.1",)
        )
        tasks.start(agent.run(), name="agent")
        tasks.start(NodeServer(settings, agent, client, clock=clock).run(), name="node server")
        await agent.wait_ready()
        yield Cluster(client, server.kubeconfig, server.url, agent)
