"""[sig-node] Security Context, Sysctls and RuntimeClass."""

import asyncio

import pytest
from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import FOREVER, container_status, is_ready, phase_is, pod, shell

from sagong.api.errors import Invalid
from sagong.api.types import Obj


async def said(space: Space, name: str, container: Obj, **spec: object) -> str:
    manifest = pod(name, container, restartPolicy="Never", **spec)
    await space.run(manifest, phase_is("Succeeded"))
    return (await space.logs(name)).strip()


async def test_users_and_groups(space: Space) -> None:
    script = "echo $(id -u) $(id -g) $(id -G)"
    own = {"runAsUser": 1001, "runAsGroup": 2002}
    texts = await asyncio.gather(
        said(space, "user", shell(script, securityContext={"runAsUser": 65534})),
        said(space, "own", shell(script, securityContext=own)),
        said(space, "pods", shell(script), securityContext=own),
        said(
            space,
            "mixed",
            shell(script, securityContext={"runAsUser": 7}),
            securityContext={**own, "fsGroup": 30, "supplementalGroups": [40]},
        ),
    )
    assert texts[0].split()[0] == "65534"
    assert texts[1:3] == ["1001 2002 2002", "1001 2002 2002"]
    assert texts[3] == "7 2002 30 40 2002" or sorted(texts[3].split()[2:]) == ["2002", "30", "40"]


async def test_privileges(space: Space) -> None:
    link = "ip link add dummy1 type bridge || echo refused; grep CapEff /proc/self/status"
    plain, mighty, bare = await asyncio.gather(
        said(space, "plain", shell(link, securityContext={"privileged": False})),
        said(space, "mighty", shell(link, securityContext={"privileged": True})),
        said(
            space,
            "bare",
            shell(
                "grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status",
                securityContext={
                    "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                    "allowPrivilegeEscalation": False,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            ),
        ),
    )
    assert "refused" in plain
    assert "refused" not in mighty
    facts = dict(line.split(":\t") for line in bare.splitlines())
    assert int(facts["CapEff"], 16) == 1 << 10
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")


async def test_privilege_escalation(space: Space) -> None:
    """Whether the kernel honours set-uid programs of a container (no_new_privs)."""

    async def uid(name: str, **context: object) -> str:
        script = "grep NoNewPrivs /proc/self/status"
        container = shell(
            script,
            securityContext={"runAsUser": 1000, **context},
        )
        return (await said(space, name, container)).split()[1]

    refused, allowed, unset = await asyncio.gather(
        uid("refused", allowPrivilegeEscalation=False),
        uid("allowed", allowPrivilegeEscalation=True),
        uid("unset"),
    )
    assert (refused, allowed, unset) == ("1", "0", "0")


async def test_root_is_refused_where_it_is_not_wanted(space: Space) -> None:
    context = {"runAsNonRoot": True}
    await space.create("pods", pod("rootless", shell(FOREVER, securityContext=context)))

    def refused(seen: Obj) -> bool:
        waiting = (container_status(seen).get("state") or {}).get("waiting") or {}
        return waiting.get("reason") == "CreateContainerConfigError"

    seen = await space.wait("pods", "rootless", refused)
    message = container_status(seen)["state"]["waiting"]["message"]
    assert message.startswith("container has runAsNonRoot and image will run as root (pod:")


async def test_sysctls(space: Space) -> None:
    safe = [{"name": "kernel.shm_rmid_forced", "value": "1"}]
    text = await said(
        space,
        "safe",
        shell("sysctl kernel.shm_rmid_forced"),
        securityContext={"sysctls": safe},
    )
    assert text == "kernel.shm_rmid_forced = 1"
    invalid = [
        {"name": "foo-", "value": "bar"},
        {"name": "kernel.shmmax", "value": "100000000"},
        {"name": "safe-and-unsafe", "value": "100000000"},
        {"name": "bar..", "value": "42"},
    ]
    with pytest.raises(Invalid) as refusal:
        await space.create("pods", pod("invalid", securityContext={"sysctls": invalid}))
    for wrong, right in (("foo-", "kernel.shmmax"), ("bar..", "safe-and-unsafe")):
        assert f'Invalid value: "{wrong}"' in str(refusal.value)
        assert f'Invalid value: "{right}"' not in str(refusal.value)


async def test_unsafe_sysctls_are_refused_by_the_node(space: Space) -> None:
    unsafe = [{"name": "kernel.msgmax", "value": "10000000000"}]
    node = space.cluster.nodes[0]
    manifest = pod("unsafe", securityContext={"sysctls": unsafe}, nodeName=node)
    seen = await space.run(manifest, phase_is("Failed"))
    assert seen["status"]["reason"] == "SysctlForbidden"
    assert not seen["status"].get("containerStatuses")
    assert await space.wait_event("unsafe", "SysctlForbidden", 'forbidden sysctl: "kernel.msgmax"')


@pytest.mark.parametrize("overhead", [None, {"cpu": "10m", "memory": "1Mi"}])
async def test_runtime_classes(space: Space, overhead: Obj | None) -> None:
    name = f"class-{space.name}"
    runtime_class = {"metadata": {"name": name}, "handler": "runc"}
    if overhead is not None:
        runtime_class["overhead"] = {"podFixed": overhead}
    await space.client.create("runtimeclasses.node.k8s.io", runtime_class)
    try:
        seen = await space.run(pod("classed", runtimeClassName=name), is_ready)
        assert seen["spec"].get("overhead") == overhead
        assert seen["spec"]["nodeName"] in space.cluster.nodes
    finally:
        await space.client.delete("runtimeclasses.node.k8s.io", name)


async def test_a_handler_that_the_runtime_lacks(space: Space) -> None:
    name = f"class-{space.name}"
    runtime_class = {"metadata": {"name": name}, "handler": "absent"}
    await space.client.create("runtimeclasses.node.k8s.io", runtime_class)
    try:
        await space.create("pods", pod("lost", runtimeClassName=name))
        message = await space.wait_event("lost", "FailedCreatePodSandBox")
        assert 'no runtime for "absent" is configured' in message
    finally:
        await space.client.delete("runtimeclasses.node.k8s.io", name)
