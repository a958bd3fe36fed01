"""[sig-node] what a container's process starts with: command, arguments, environment."""

import asyncio
import base64
import sys
from pathlib import Path

import pytest
from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import phase_is, pod, shell

from sagong.api.quantities import parse
from sagong.api.types import Obj
from sagong.local.images import BUSYBOX_IMAGE, ImageSpec, build_archive, busybox_image

DEFAULTS_IMAGE = "sagong.local/conformance-defaults:1"


async def output(space: Space, manifest: Obj, container: str = "") -> list[str]:
    """The lines that a pod prints which ends by itself."""
    manifest["spec"]["restartPolicy"] = "Never"
    await space.run(manifest, phase_is("Succeeded"))
    return (await space.logs(manifest["metadata"]["name"], container)).splitlines()


def encoded(data: dict[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}


@pytest.fixture
async def defaults_image(space: Space, tmp_path: Path) -> str:
    """An image that prints its arguments, ``image-argument`` unless told otherwise."""
    spec = busybox_image()
    made = ImageSpec(
        DEFAULTS_IMAGE,
        spec.files,
        entrypoint=("/bin/echo", "image-entrypoint"),
        command=("image-argument",),
    )
    archive = tmp_path / "image.tar"
    archive.write_bytes(build_archive(made))
    where = ["--data-dir", str(space.cluster.data_dir), "--run-dir", str(space.cluster.run_dir)]
    command = [sys.executable, "-m", "sagong", "image", "import", str(archive), *where]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    return DEFAULTS_IMAGE


async def test_commands_and_arguments_of_images(space: Space, defaults_image: str) -> None:
    wanted: dict[str, tuple[Obj, str]] = {
        "blank": ({}, "image-entrypoint image-argument"),
        "arguments": ({"args": ["override", "arguments"]}, "image-entrypoint override arguments"),
        "command": ({"command": ["/bin/echo", "override"]}, "override"),
        "both": ({"command": ["/bin/echo", "override"], "args": ["both"]}, "override both"),
    }
    containers = [
        {"name": name, "image": defaults_image, **fields} for name, (fields, _) in wanted.items()
    ]
    await space.run(pod("defaults", *containers, restartPolicy="Never"), phase_is("Succeeded"))
    for name, (_, text) in wanted.items():
        assert (await space.logs("defaults", name)).strip() == text


@pytest.mark.parametrize("resource", ["configmaps", "secrets"])
async def test_objects_in_the_environment(space: Space, resource: str) -> None:
    data = {"data-1": "value-1", "data_2": "value 2"}
    is_secret = resource == "secrets"
    kind, field = ("Secret", "secretRef") if is_secret else ("ConfigMap", "configMapRef")
    obj = {"kind": kind, "apiVersion": "v1", "metadata": {"name": "source"}}
    await space.create(resource, {**obj, "data": encoded(data) if is_secret else data})
    key = {"name": "source", "key": "data-1"}
    single = {"secretKeyRef": key} if is_secret else {"configMapKeyRef": key}
    # Any printable character but "=" may stand in a name (relaxed since 1.34).
    prefixes = ("", "p-", "1!", "$_", "1-", "f.", "%", "Z")
    sources = [{field: {"name": "source"}, "prefix": prefix} for prefix in prefixes]
    script = "tr '\\0' '\\n' < /proc/1/environ; true"  # a shell drops odd names
    container = {
        "command": ["sh", "-c", script],
        "env": [{"name": "CHOSEN", "valueFrom": single}],
        "envFrom": sources,
    }
    lines = await output(space, pod("reader", container))
    assert "CHOSEN=value-1" in lines
    for prefix in prefixes:
        for name, value in data.items():
            assert f"{prefix}{name}={value}" in lines


async def test_variables_compose(space: Space) -> None:
    variables = [
        {"name": "FOO", "value": "foo-value"},
        {"name": "BAR", "value": "bar-value"},
        {"name": "FOOBAR", "value": "$(FOO);;$(BAR)"},
        {"name": "LATER", "value": "$(NOT_YET) $$(FOO)"},
        {"name": "NOT_YET", "value": "x"},
    ]
    in_command = {"command": ["sh", "-c", "echo $(FOO) \"$(FOOBAR)\" '$(NOBODY)'"]}
    in_arguments = {"command": ["echo"], "args": ["$(FOOBAR)", "$$(BAR)", "$(LATER)"]}
    containers = [{"name": "c0", "env": variables, **in_command}]
    containers.append({"name": "c1", "env": variables, **in_arguments})
    manifest = pod("composed", *containers)
    assert await output(space, manifest, "c0") == ["foo-value foo-value;;bar-value $(NOBODY)"]
    assert (await space.logs("composed", "c1")).splitlines() == [
        "foo-value;;bar-value $(BAR) $(NOT_YET) $(FOO)"
    ]


async def test_facts_of_pod_container_and_node(space: Space) -> None:
    fields = {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "POD_UID": "metadata.uid",
        "POD_IP": "status.podIP",
        "POD_IPS": "status.podIPs",
        "HOST_IP": "status.hostIP",
        "HOST_IPS": "status.hostIPs",
        "NODE": "spec.nodeName",
        "LABEL": "metadata.labels['app']",
    }
    amounts = {
        "CPU_LIMIT": ("limits.cpu", None),
        "MEMORY_LIMIT": ("limits.memory", None),
        "CPU_REQUEST": ("requests.cpu", "1m"),
        "MEMORY_REQUEST": ("requests.memory", "1Mi"),
    }
    env: list[Obj] = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in fields.items()
    ]
    for name, (path, divisor) in amounts.items():
        reference = {"resource": path, **({"divisor": divisor} if divisor else {})}
        env.append({"name": name, "valueFrom": {"resourceFieldRef": reference}})
    resources = {
        "requests": {"cpu": "250m", "memory": "32Mi"},
        "limits": {"cpu": "1250m", "memory": "64Mi"},
    }
    limited = shell("env", name="limited", env=env, resources=resources)
    manifest = pod("facts", limited, shell("env", name="bare", env=env), labels={"app": "x"})
    lines = await output(space, manifest, "limited")
    bare = (await space.logs("facts", "bare")).splitlines()
    seen = await space.get("pods", "facts")
    status, node = seen["status"], seen["spec"]["nodeName"]
    for line in (
        "POD_NAME=facts",
        f"POD_NAMESPACE={space.name}",
        f"POD_UID={seen['metadata']['uid']}",
        f"POD_IP={status['podIP']}",
        f"POD_IPS={','.join(entry['ip'] for entry in status['podIPs'])}",
        f"HOST_IP={status['hostIP']}",
        f"HOST_IPS={','.join(entry['ip'] for entry in status['hostIPs'])}",
        f"NODE={node}",
        "LABEL=x",
        "CPU_LIMIT=2",
        f"MEMORY_LIMIT={64 << 20}",
        "CPU_REQUEST=250",
        "MEMORY_REQUEST=32",
    ):
        assert line in lines
    allocatable = (await space.client.get("nodes", node))["status"]["allocatable"]
    memory = int(allocatable["memory"].removesuffix("Ki")) * 1024
    assert f"MEMORY_LIMIT={memory}" in bare
    cpus = -(-parse(allocatable["cpu"]).milli_value // 1000)
    assert f"CPU_LIMIT={cpus}" in bare


async def test_services_in_the_environment(space: Space) -> None:
    service = {"selector": {"app": "s"}, "ports": [{"port": 8765, "targetPort": 8080}]}
    made = await space.create("services", {"metadata": {"name": "fooservice"}, "spec": service})
    address = made["spec"]["clusterIP"]
    lines = await output(space, pod("client", shell("env")))
    for name, value in {
        "SERVICE_HOST": address,
        "SERVICE_PORT": "8765",
        "PORT": f"tcp://{address}:8765",
        "PORT_8765_TCP": f"tcp://{address}:8765",
        "PORT_8765_TCP_PORT": "8765",
        "PORT_8765_TCP_PROTO": "tcp",
        "PORT_8765_TCP_ADDR": address,
    }.items():
        assert f"FOOSERVICE_{name}={value}" in lines
    assert any(line.startswith("KUBERNETES_SERVICE_HOST=") for line in lines)
    without = await output(space, pod("unlinked", shell("env"), enableServiceLinks=False))
    assert not any(line.startswith("FOOSERVICE") for line in without)
    assert any(line.startswith("KUBERNETES_SERVICE_HOST=") for line in without)


async def test_a_program_of_the_node_runs_in_a_pod(space: Space) -> None:
    """What tests with servers of their own rely on."""
    command = ["chroot", "/host", sys.executable, "-c", "print('hello')"]
    mounts = [{"name": "host", "mountPath": "/host"}]
    manifest = pod(
        "program",
        {"image": BUSYBOX_IMAGE, "command": command, "volumeMounts": mounts},
        volumes=[{"name": "host", "hostPath": {"path": "/"}}],
    )
    assert await output(space, manifest) == ["hello"]
