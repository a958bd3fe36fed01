"""Pods with the network tests' program in them, services, and questions asked from pods."""

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import dnslib
import pytest
from tests.cluster.conformance.cluster import WAIT_SECONDS, Space
from tests.cluster.manifests import is_ready, pod

from sagong.api.types import Obj

HERE = Path(__file__).parent
DNS = "10.96.0.10"
SLICES = "endpointslices.discovery.k8s.io"
SERVICE_LABEL = "kubernetes.io/service-name"
_PYTHON = Path(sys.executable).resolve()
_PACKAGES = Path(dnslib.__file__).parents[1]
# The machine's own Python, with what it is linked to: the one image that nodes have is a busybox.
_MOUNTED = [Path("/usr"), Path("/lib"), Path("/lib64"), Path(sys.base_prefix), _PACKAGES, HERE]


def program(*arguments: str) -> list[str]:
    return [str(_PYTHON), "-u", str(HERE / "net_program.py"), *arguments]


def net_pod(
    name: str,
    *ports: str,
    labels: dict[str, str] | None = None,
    container: Obj | None = None,
    **spec: Any,
) -> Obj:
    """A pod that serves on ``http:8080``-like ports, ready when it does, and that can ask."""
    tcp = [p.partition(":")[2] for p in ports if p.startswith("http")]
    mounted = [path for path in dict.fromkeys(_MOUNTED) if path.exists()]
    main: Obj = {
        "name": "net",
        "command": program("serve", *ports) if ports else ["sleep", "1000000"],
        "env": [{"name": "PYTHONPATH", "value": str(_PACKAGES)}],
        "volumeMounts": [
            {"name": f"m{i}", "mountPath": str(path), "readOnly": True}
            for i, path in enumerate(mounted)
        ],
        "ports": [
            {"containerPort": int(p.partition(":")[2]), "protocol": _protocol(p)} for p in ports
        ],
    }
    if tcp:
        main["readinessProbe"] = {
            "httpGet": {"path": "/hostname", "port": int(tcp[0])},
            "periodSeconds": 1,
        }
    volumes = [
        {"name": f"m{i}", "hostPath": {"path": str(path.resolve())}}
        for i, path in enumerate(mounted)
    ]
    return pod(name, main | (container or {}), labels=labels, volumes=volumes, **spec)


def _protocol(port: str) -> str:
    return "UDP" if port.startswith("udp") else "TCP"


async def run(space: Space, *pods: Obj) -> list[Obj]:
    """Create pods and wait until all are Ready."""
    return list(await asyncio.gather(*(space.run(p, is_ready) for p in pods)))


async def servers(space: Space, count: int, *ports: str, **fields: Any) -> list[Obj]:
    """Ready pods ``web-0...`` with the label app=web, spread over the nodes."""
    nodes = space.cluster.nodes
    return await run(
        space,
        *(
            net_pod(
                f"web-{i}", *ports, labels={"app": "web"}, nodeName=nodes[i % len(nodes)], **fields
            )
            for i in range(count)
        ),
    )


async def client(space: Space, name: str = "client", **fields: Any) -> str:
    """A Ready pod to ask from."""
    await run(space, net_pod(name, **fields))
    return name


async def service(space: Space, name: str, *ports: Obj, **spec: Any) -> Obj:
    listed = list(ports) or [{"port": 80, "targetPort": 8080}]
    spec = {"selector": {"app": "web"}, "ports": listed, **spec}
    return await space.create("services", {"metadata": {"name": name}, "spec": spec})


async def asked(
    space: Space,
    pod_name: str,
    protocol: str,
    host: str,
    port: int,
    times: int = 1,
    what: str = "hostname",
) -> list[str]:
    words = program("ask", protocol, host, str(port), str(times), what)
    return (await space.shell(pod_name, " ".join(words))).splitlines()


async def wait_answers(
    space: Space,
    pod_name: str,
    protocol: str,
    host: str,
    port: int,
    names: set[str],
    times: int = 30,
) -> None:
    """Until exactly these hosts have answered a round of questions."""
    seen: Counter[str] = Counter()
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                seen = Counter(await asked(space, pod_name, protocol, host, port, times))
                if seen.keys() == names:
                    return
    except TimeoutError:
        pytest.fail(f"{protocol} {host}:{port} from {pod_name} answered {seen}, not {names}")


async def wait_unanswered(space: Space, pod_name: str, protocol: str, host: str, port: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            (answer,) = await asked(space, pod_name, protocol, host, port)
            if answer.startswith("error"):
                return


async def looked(space: Space, pod_name: str, name: str, type_: str, *how: str) -> list[str]:
    """Code and records of a name as the cluster's DNS gives them."""
    words = program("look", name, type_, DNS, *how)
    return (await space.shell(pod_name, " ".join(words))).splitlines()


async def wait_records(
    space: Space, pod_name: str, name: str, type_: str, records: set[str], *how: str
) -> None:
    seen: list[str] = []
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                seen = await looked(space, pod_name, name, type_, *how)
                if set(seen[1:]) == records and len(seen) == len(records) + 1:
                    return
    except TimeoutError:
        pytest.fail(f"{name} {type_} is {seen}, not {records}")


async def resolved(space: Space, pod_name: str, name: str) -> list[str]:
    """What the C library makes of a name in a pod: hosts file and search path count."""
    done = await space.try_shell(pod_name, " ".join(program("hosts", name)))
    return done.out.splitlines() if done.code == 0 else []


async def wait_resolved(space: Space, pod_name: str, name: str, addresses: set[str]) -> None:
    seen: list[str] = []
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while set(seen) != addresses:
                seen = await resolved(space, pod_name, name)
    except TimeoutError:
        pytest.fail(f"{name} resolves to {seen}, not {addresses}")


async def slices_of(space: Space, service_name: str) -> list[Obj]:
    return await space.listed(SLICES, label_selector=f"{SERVICE_LABEL}={service_name}")


def ip_of(pod_obj: Obj) -> str:
    return str(pod_obj["status"]["podIP"])


async def node_addresses(space: Space) -> dict[str, str]:
    """Each node's internal address."""
    listing = await space.client.list("nodes")
    return {
        item.obj["metadata"]["name"]: next(
            a["address"] for a in item.obj["status"]["addresses"] if a["type"] == "InternalIP"
        )
        for item in listing.items
    }
