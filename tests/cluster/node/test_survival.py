"""What lasts when the runtime, the agent or the API server is gone for a while."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator

from sagong.api.meta import condition
from sagong.api.types import Obj
from sagong.local import containerd, processes
from sagong.node.cri.client import CriClient

from .conftest import FOREVER, Node, is_ready, phase_is, pod, shell


def pid_of(node: Node) -> int:
    found = processes.read_pid_file(node.runtime.pid_file)
    assert found is not None
    return found.pid


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def dead(node: Node) -> AsyncIterator[None]:
    """The runtime is killed, and started again at the end."""
    running = processes.read_pid_file(node.runtime.pid_file)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    try:
        await processes.wait_ended(running)
        yield
    finally:
        await containerd.start(node.runtime)


def container(seen: Obj) -> Obj:
    return dict(seen["status"]["containerStatuses"][0])


async def test_pods_outlive_a_killed_runtime(node: Node) -> None:
    """Running ones go on; what ends or is asked for meanwhile is caught up with."""
    async with node.running_agent() as agent:
        await node.create(pod("lasting", shell(FOREVER)))
        await node.create(pod("ending", shell("sleep 2"), restartPolicy="Never"))
        before = container(await node.wait_pod("lasting", is_ready))
        await node.wait_pod("ending", is_ready)
        async with dead(node):
            await node.create(pod("asked", shell(FOREVER)))
            await asyncio.sleep(2.5)
        await node.wait_pod("ending", phase_is("Succeeded"))
        await node.wait_pod("asked", is_ready)
        # Events are followed again: an end is seen long before the next listing.
        await node.create(pod("short", shell("true"), restartPolicy="Never"))
        await node.wait_pod("short", phase_is("Succeeded"))
        after = container(await node.get("lasting"))
        assert (after["containerID"], after["restartCount"]) == (before["containerID"], 0)
        for name in ("lasting", "asked"):
            await node.delete(name)
        assert agent.workers


async def test_a_hung_runtime_is_told_and_forgiven(node: Node) -> None:
    def ready(status: str) -> object:
        return lambda own: (condition(own, "Ready") or {}).get("status") == status

    async with node.running_agent(status_seconds=0.5):
        await node.create(pod("lasting", shell(FOREVER)))
        before = container(await node.wait_pod("lasting", is_ready))
        with frozen(pid_of(node)):
            await node.create(pod("asked", shell(FOREVER)))
            await node.wait_node(ready("False"))  # type: ignore[arg-type]
            own = condition(await node.client.get("nodes", node.config.name), "Ready")
            assert own is not None
            assert own["message"] == "container runtime is down"
        await node.wait_node(ready("True"))  # type: ignore[arg-type]
        await node.wait_pod("asked", is_ready)
        assert container(await node.get("lasting")) == before


async def test_containers_are_restarted_without_the_api(node: Node) -> None:
    """The API server goes; crashed containers start again, and the count is right afterwards."""
    async with node.running_agent() as agent:
        script = f"test -e /tmp/again || {{ touch /tmp/again; sleep 2; exit 1; }}; {FOREVER}"
        volumes = [{"name": "t", "emptyDir": {}}]
        crash = shell(script, volumeMounts=[{"name": "t", "mountPath": "/tmp"}])
        await node.create(pod("crash", crash, volumes=volumes))
        seen = await node.wait_pod("crash", is_ready)
        uid = seen["metadata"]["uid"]
        with node.server_away():
            await node.wait(lambda: any(c.attempt == 1 for c in agent.view.pod(uid).running))
            assert container(await node.get("crash"))["restartCount"] == 0
        again = await node.wait_pod("crash", lambda p: container(p)["restartCount"] == 1)
        assert container(again)["lastState"]["terminated"]["exitCode"] == 1


async def test_after_a_reboot_everything_begins_anew(node: Node) -> None:
    """Sandboxes and containers are dead, the API's word is old: as after a power cut."""
    async with node.running_agent() as agent:
        await node.create(pod("always", shell(FOREVER)))
        await node.create(pod("once", shell("true"), restartPolicy="Never"))
        before = container(await node.wait_pod("always", is_ready))
        await node.wait_pod("once", phase_is("Succeeded"))
        uid = (await node.get("always"))["metadata"]["uid"]
        sandboxes = [s.id for s in agent.view.pod(uid).sandboxes]
    async with CriClient(node.config.runtime_endpoint) as cri:
        for sandbox in sandboxes:
            await cri.stop_sandbox(sandbox)
            await cri.remove_sandbox(sandbox)
    async with node.running_agent():
        again = await node.wait_pod(
            "always", lambda p: is_ready(p) and container(p)["containerID"] != before["containerID"]
        )
        assert container(again)["restartCount"] == 1
        assert (await node.get("once"))["status"]["phase"] == "Succeeded"
