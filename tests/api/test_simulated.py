"""``sagong up --simulated``: nodes that only pretend, from the command line and back."""

import asyncio
import socket
import sys
from pathlib import Path

from rest import ADMIN

from sagong.cmd.server import ServerConfig, serving
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds

NODES = 12


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def run(*arguments: str, status: int = 0) -> str:
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == status, output
    return output


async def test_a_cluster_of_pretended_nodes(tmp_path: Path) -> None:
    data, config = tmp_path / "data", str(tmp_path / "config")
    places = ["--data-dir", str(data), "--run-dir", str(tmp_path / "run")]
    sagong = [sys.executable, "-m", "sagong"]
    up = ["up", "--nodes=0", f"--simulated={NODES}", f"--port={free_port()}"]
    flags = ["start-seconds=0", "ready-seconds=0", "stop-seconds=0"]
    up += [f"--simulated-flag={flag}" for flag in flags]
    kubectl = ["kubectl", "--kubeconfig", config]
    try:
        told = await run(*sagong, *up, *places, "--kubeconfig", config)
        assert f"{NODES} simulated Ready" in told
        nodes = await run(*kubectl, "get", "nodes", "-l", "sagong.dev/simulated=true")
        assert nodes.count(" Ready ") == NODES
        await run(*kubectl, "create", "deployment", "web", "--image=x", "--replicas=20")
        await run(*kubectl, "rollout", "status", "deployment/web", "--timeout=60s")
        pods = await run(*kubectl, "get", "pods", "-o", "name")
        name = pods.split()[0].removeprefix("pod/")
        why = await run(*sagong, "why", name, "--kubeconfig", config)
        assert f"{name} went to sim-" in why
        assert f"{NODES} nodes fitted" in why or "refused were" in why
        absent = await run(*sagong, "why", "nobody", "--kubeconfig", config, status=1)
        assert 'pods "nobody" not found' in absent
        assert f"simulated  {NODES} nodes" in await run(*sagong, "status", *places)
    finally:
        told = await run(*sagong, "down", *places, "--kubeconfig", config)
    assert f"removing {NODES} simulated node(s)" in told
    # What is left in the store knows nothing of them.
    server = ServerConfig(data / "server", port=0)
    async with serving(server, clock=SystemClock(), ids=SystemIds()) as running:
        client = running.client(ADMIN)
        assert (await client.list("nodes")).items == []
        leases = await client.list("leases.coordination.k8s.io", namespace="kube-node-lease")
        assert leases.items == []


async def test_nothing_at_all_is_no_cluster(tmp_path: Path) -> None:
    places = ["--data-dir", str(tmp_path), "--run-dir", str(tmp_path)]
    told = await run(sys.executable, "-m", "sagong", "up", "--nodes=0", *places, status=2)
    assert "--nodes 0 needs --simulated" in told
