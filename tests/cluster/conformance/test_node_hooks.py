"""[sig-node] Container Lifecycle Hook and PreStop."""

import asyncio
from collections.abc import Callable

import pytest
from tests.cluster.conformance.agent_programs import recorder
from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import FOREVER, container_status, is_ready, pod, shell

from sagong.api.types import Obj


async def recording(space: Space) -> Callable[[str], Obj]:
    """A pod that records requests; what makes hooks' handlers towards it."""
    seen = await space.run(pod("recorder", shell(recorder())), is_ready)
    address = seen["status"]["podIP"]
    headers = [{"name": "X-Test", "value": "header"}]

    def handler(kind: str, text: str) -> Obj:
        path = f"/cgi-bin/echo?{text}"
        if kind == "http":
            where = {"host": address, "port": 8080, "scheme": "HTTP"}
            return {"httpGet": {"path": path, **where, "httpHeaders": headers}}
        return {"exec": {"command": ["wget", "-qO-", f"http://{address}:8080{path}"]}}

    return lambda spec: handler(*spec.split("-", 1))


async def recorded(space: Space) -> list[str]:
    return (await space.shell("recorder", "touch /tmp/log; cat /tmp/log")).splitlines()


@pytest.mark.parametrize("kind", ["exec", "http"])
async def test_both_hooks_are_called(space: Space, kind: str) -> None:
    handler = await recording(space)
    hooks = {
        "postStart": handler(f"{kind}-started"),
        "preStop": handler(f"{kind}-stopping"),
    }
    manifest = pod("hooked", shell(FOREVER, lifecycle=hooks), terminationGracePeriodSeconds=15)
    await space.run(manifest, is_ready)
    header = "header" if kind == "http" else ""
    assert await recorded(space) == [f"started {header}"]
    await space.delete("pods", "hooked")
    assert await recorded(space) == [f"started {header}", f"stopping {header}"]


async def test_a_failing_post_start_hook_ends_the_container(space: Space) -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "echo no; exit 3"]}}}
    await space.create("pods", pod("refused", shell(FOREVER, lifecycle=hook)))
    message = await space.wait_event("refused", "FailedPostStartHook")
    assert "PostStartHook failed" in message
    seen = await space.wait("pods", "refused", lambda p: container_status(p)["restartCount"] >= 1)
    assert not container_status(seen)["ready"]


async def test_a_hook_that_hangs_is_cut_off_by_the_grace(space: Space) -> None:
    hook = {"preStop": {"exec": {"command": ["sleep", "3600"]}}}
    manifest = pod("hanging", shell(FOREVER, lifecycle=hook), terminationGracePeriodSeconds=2)
    await space.run(manifest, is_ready)
    async with asyncio.timeout(60):
        await space.delete("pods", "hanging")


async def test_a_sleep_hook_holds_the_stop(space: Space) -> None:
    hook = {"preStop": {"sleep": {"seconds": 2}}}
    log = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    manifest = pod(
        "sleeper",
        shell(FOREVER, lifecycle=hook, **log),
        terminationGracePeriodSeconds=30,
        volumes=[{"name": "v", "emptyDir": {}}],
    )
    await space.run(manifest, is_ready)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await space.delete("pods", "sleeper")
    assert loop.time() - began >= 2
