"""[sig-node] Container Runtime and Kubelet: how containers end, and what is told of it."""

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


def ended(seen: Obj, name: str = "c0") -> Obj:
    return (container_status(seen, name).get("state") or {}).get("terminated") or {}


def restarts(seen: Obj) -> int:
    return int(container_status(seen).get("restartCount") or 0)


async def test_the_restart_policies(space: Space) -> None:
    """The first run fails, the second goes on: as upstream's, with a volume to count runs."""
    script = (
        "test -e /v/ran || { touch /v/ran; exit 1; }; test -e /v/twice && exit 0; "
        f"touch /v/twice; {FOREVER}"
    )
    manifests = {}
    for policy in ("Always", "OnFailure", "Never"):
        container = shell(script, volumeMounts=[{"name": "v", "mountPath": "/v"}])
        volumes = [{"name": "v", "emptyDir": {}}]
        name = policy.lower()
        manifests[name] = pod(name, container, restartPolicy=policy, volumes=volumes)
    await asyncio.gather(*(space.create("pods", manifest) for manifest in manifests.values()))
    for name in ("always", "onfailure"):
        seen = await space.wait("pods", name, lambda p: is_ready(p) and restarts(p) > 0)
        assert (restarts(seen), seen["status"]["phase"]) == (1, "Running")
        assert container_status(seen)["lastState"]["terminated"]["exitCode"] == 1
    seen = await space.wait("pods", "never", phase_is("Failed"))
    assert (restarts(seen), condition_of(seen, "Ready")) == (0, "False")
    assert (ended(seen)["reason"], ended(seen)["exitCode"]) == ("Error", 1)


async def test_termination_messages(space: Space) -> None:
    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    elsewhere = {"terminationMessagePath": "/dev/termination-custom-log"}
    user = {"securityContext": {"runAsUser": 1000}}
    containers = [
        shell("echo -n DONE > /dev/termination-custom-log", name="own", **elsewhere, **user),
        shell("echo -n DONE; exit 1", name="log", **fallback),
        shell("echo -n DONE", name="silent", **fallback),
        shell("echo log; echo -n OK > /dev/termination-log", name="file", **fallback),
        shell("echo log; echo -n WHY > /dev/termination-log; exit 2", name="both", **fallback),
    ]
    seen = await space.run(pod("told", *containers, restartPolicy="Never"), phase_is("Failed"))
    wanted = {"own": "DONE", "log": "DONE", "silent": None, "file": "OK", "both": "WHY"}
    assert {name: ended(seen, name).get("message") for name in wanted} == wanted


async def test_output_reaches_the_logs(space: Space) -> None:
    await space.run(
        pod("speaker", shell("echo 'Hello World'; echo oops >&2"), restartPolicy="Never"),
        phase_is("Succeeded"),
    )
    assert sorted((await space.logs("speaker")).splitlines()) == ["Hello World", "oops"]


async def test_a_command_that_always_fails(space: Space) -> None:
    await space.create("pods", pod("failing", {"command": ["/bin/false"]}))
    seen = await space.wait("pods", "failing", lambda p: bool(ended(p)) or restarts(p) > 0)
    last = ended(seen) or container_status(seen)["lastState"]["terminated"]
    assert (last["reason"], last["exitCode"]) == ("Error", 1)
    assert all(last[field] for field in ("startedAt", "finishedAt", "containerID"))
    await space.delete("pods", "failing")


async def test_a_read_only_root(space: Space) -> None:
    def container(read_only: bool) -> Obj:
        context = {"readOnlyRootFilesystem": read_only}
        return shell("echo test > /file && sync; cat /file", securityContext=context)

    seen = await space.run(
        pod("closed", container(True), restartPolicy="Never"), phase_is("Failed")
    )
    assert ended(seen)["exitCode"] != 0
    assert "Read-only file system" in await space.logs("closed")
    await space.run(pod("open", container(False), restartPolicy="Never"), phase_is("Succeeded"))


async def test_hosts_files(space: Space) -> None:
    aliases = [{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}]
    host = [{"name": "hosts", "hostPath": {"path": "/etc/hosts", "type": "File"}}]
    mounts = [{"name": "hosts", "mountPath": "/etc/hosts"}]
    managed = pod(
        "managed",
        shell(FOREVER),
        shell(FOREVER),
        shell(FOREVER, volumeMounts=mounts),
        volumes=host,
        hostAliases=aliases,
    )
    manifests = (managed, pod("onhost", shell(FOREVER), hostNetwork=True))
    await asyncio.gather(*(space.run(manifest, is_ready) for manifest in manifests))
    seen = await space.get("pods", "managed")
    for name in ("c0", "c1"):
        text = await space.shell("managed", "cat /etc/hosts", name)
        assert text.startswith("# Kubernetes-managed hosts file.\n")
        assert f"{seen['status']['podIP']}\tmanaged\n" in text
        assert "# Entries added by HostAliases.\n123.45.67.89\tfoo\tbar\n" in text
    for pod_name, name in (("managed", "c2"), ("onhost", "c0")):
        text = await space.shell(pod_name, "cat /etc/hosts", name)
        assert "# Kubernetes-managed hosts file." not in text
