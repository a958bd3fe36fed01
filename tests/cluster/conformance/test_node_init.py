"""[sig-node] InitContainer, sidecars and ephemeral containers."""

import asyncio

from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import (
    FOREVER,
    condition_of,
    container_status,
    is_ready,
    phase_is,
    pod,
    shell,
)

from sagong.api.types import Obj


def state(seen: Obj, name: str) -> Obj:
    return container_status(seen, name).get("state") or {}


async def test_init_containers_run_first(space: Space) -> None:
    init = [shell("true", name="init1"), shell("true", name="init2")]
    never = pod("never", shell("true"), restartPolicy="Never", initContainers=init)
    always = pod("always", shell(FOREVER), initContainers=init)
    done, running = await asyncio.gather(
        space.run(never, phase_is("Succeeded")), space.run(always, is_ready)
    )
    for seen in (done, running):
        assert condition_of(seen, "Initialized") == "True"
        for name in ("init1", "init2"):
            status = container_status(seen, name)
            assert status["ready"]
            assert (status["state"]["terminated"]["exitCode"], status["restartCount"]) == (0, 0)
    first, second = (state(done, name)["terminated"] for name in ("init1", "init2"))
    assert first["finishedAt"] <= second["startedAt"]
    assert state(done, "c0")["terminated"]["exitCode"] == 0
    assert "running" in state(running, "c0")


async def test_a_failing_init_container_keeps_the_rest_from_starting(space: Space) -> None:
    init = [shell("exit 1", name="init1"), shell("true", name="init2")]
    await space.create("pods", pod("again", shell("true"), initContainers=init))

    def has_restarted(seen: Obj) -> bool:
        assert "waiting" in state(seen, "c0") or not state(seen, "c0")
        return int(container_status(seen, "init1").get("restartCount") or 0) >= 2

    seen = await space.wait("pods", "again", has_restarted)
    assert seen["status"]["phase"] == "Pending"
    assert state(seen, "c0")["waiting"]["reason"] == "PodInitializing"
    assert state(seen, "init2")["waiting"]["reason"] == "PodInitializing"
    initialized = next(c for c in seen["status"]["conditions"] if c["type"] == "Initialized")
    assert (initialized["status"], initialized["reason"], initialized["message"]) == (
        "False",
        "ContainersNotInitialized",
        "containers with incomplete status: [init1 init2]",
    )


async def test_a_failed_init_container_fails_the_pod_that_never_restarts(space: Space) -> None:
    init = [shell("true", name="init1"), shell("exit 1", name="init2")]
    manifest = pod("failed", shell("true"), restartPolicy="Never", initContainers=init)
    seen = await space.run(manifest, phase_is("Failed"))
    assert state(seen, "init1")["terminated"]["exitCode"] == 0
    assert state(seen, "init2")["terminated"]["exitCode"] == 1
    assert state(seen, "c0")["waiting"]["reason"] == "PodInitializing"


async def test_ephemeral_containers(space: Space) -> None:
    await space.run(pod("target", shell(FOREVER)), is_ready)

    async def add(*containers: Obj) -> None:
        await space.patch(
            "pods",
            "target",
            {"spec": {"ephemeralContainers": list(containers)}},
            subresource="ephemeralcontainers",
        )

    def debugger(name: str) -> Obj:
        script = f"echo polo {name}; {FOREVER}"
        return {**shell(script, name=name), "targetContainerName": "c0"}

    await add(debugger("first"))
    await space.wait("pods", "target", lambda p: "running" in state(p, "first"))
    assert await space.logs("target", "first") == "polo first\n"
    # It shares the process namespace of the container that it targets.
    assert "sleep 3600" in await space.shell(
        "target", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '", "first"
    )
    await add(debugger("first"), debugger("second"))
    seen = await space.wait("pods", "target", lambda p: "running" in state(p, "second"))
    assert [c["name"] for c in seen["spec"]["ephemeralContainers"]] == ["first", "second"]
    assert len(seen["status"]["ephemeralContainerStatuses"]) == 2
    assert container_status(seen)["restartCount"] == 0


async def test_sidecars_start_in_order_and_end_last(space: Space) -> None:
    shared = {"volumeMounts": [{"name": "s", "mountPath": "/s"}]}
    volumes = [{"name": "s", "emptyDir": {}}]
    ending = "trap 'echo side ends >> /s/log; exit 0' TERM; while :; do sleep 3600 & wait $!; done"
    probe = {"exec": {"command": ["test", "-e", "/s/up"]}, "periodSeconds": 1}
    side = shell(
        f"touch /s/up; {ending}", name="side", restartPolicy="Always", startupProbe=probe, **shared
    )
    after = shell("test -e /s/up", name="after", **shared)
    main = shell("echo main ends >> /s/log", **shared)
    manifest = pod(
        "carried", main, restartPolicy="Never", volumes=volumes, initContainers=[side, after]
    )
    seen = await space.run(manifest, phase_is("Succeeded"))
    assert container_status(seen, "after")["ready"]
    assert state(seen, "side")["terminated"]["exitCode"] == 0
    assert (
        state(seen, "c0")["terminated"]["finishedAt"]
        <= (state(seen, "side")["terminated"]["finishedAt"])
    )
