"""NetworkPolicies between real pods on several nodes, as upstream's ``test/e2e/network/netpol``.

Each test has three servers, one a node, in its namespace, and perhaps pods in a second one. Who can
reach whom is asked until it is as expected: a change is in force within a second.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.cluster.conformance.cluster import Space
from tests.cluster.conformance.net_scene import (
    asked,
    ip_of,
    net_pod,
    node_addresses,
    program,
    run,
    service,
    wait_answers,
)

from sagong.api.errors import NotFound
from sagong.api.types import Obj
from sagong.core.ids import SystemIds

POLICIES = "networkpolicies.networking.k8s.io"
PORTS = ("http:80", "http:81", "udp:80")
APPS = ("a", "b", "c")


async def apps(space: Space) -> dict[str, str]:
    """A pod of each name, labelled and on a node of its own, serving on every port; addresses."""
    pods = [
        net_pod(
            name, *PORTS, labels={"app": name}, nodeName=node,
            container={"ports": [{"name": "web", "containerPort": 81}]},
        )
        for name, node in zip(APPS, space.cluster.nodes, strict=True)
    ]  # fmt: skip
    made = await run(space, *pods)
    return {name: ip_of(pod) for name, pod in zip(APPS, made, strict=True)}


@pytest.fixture
async def other(space: Space) -> AsyncIterator[Space]:
    """A second namespace, labelled ``team: other``."""
    name = f"t-{SystemIds().suffix()}"
    metadata = {"name": name, "labels": {"team": "other"}}
    await space.client.create("namespaces", {"metadata": metadata})
    yield Space(name, space.cluster, space.client)
    with contextlib.suppress(NotFound):
        await space.client.delete("namespaces", name)


async def policy(space: Space, name: str, pods: Obj | None = None, **spec: Any) -> None:
    wanted = {"podSelector": {"matchLabels": pods or {}}, **spec}
    await space.create(POLICIES, {"metadata": {"name": name}, "spec": wanted})


async def open_(space: Space, source: str, ip: str, protocol: str = "http", port: int = 80) -> None:
    """It answers, in the end."""
    async with asyncio.timeout(60):
        while (await asked(space, source, protocol, ip, port))[0].startswith("error"):
            pass


async def shut(space: Space, source: str, ip: str, protocol: str = "http", port: int = 80) -> None:
    """It does not answer, in the end; what is dropped times out and is not refused."""
    async with asyncio.timeout(60):
        while "timed out" not in (await asked(space, source, protocol, ip, port))[0]:
            pass


def app(*names: str) -> list[Obj]:
    expression = {"key": "app", "operator": "In", "values": list(names)}
    return [{"podSelector": {"matchExpressions": [expression]}}]


async def test_default_deny_shuts_everyone_out_and_lets_probes_in(space: Space) -> None:
    ips = await apps(space)
    await policy(space, "deny", policyTypes=["Ingress"])
    await asyncio.gather(
        *(shut(space, "a", ips[name]) for name in ("b", "c")), shut(space, "b", ips["c"], "udp")
    )
    assert await dropped(space, space.cluster.nodes[1], "ingress") > 0
    # The node's probes go on: a pod made now becomes Ready although nobody else may reach it.
    (late,) = await run(space, net_pod("late", "http:80", nodeName=space.cluster.nodes[0]))
    await shut(space, "a", ip_of(late))
    await space.delete(POLICIES, "deny")
    await asyncio.gather(*(open_(space, "a", ips[name]) for name in ("b", "c")))


async def dropped(space: Space, node: str, direction: str) -> float:
    """The packets that a node's policies have dropped, as its metrics say."""
    ask = (
        "import urllib.request as u;"
        "print(u.urlopen('http://127.0.0.1:10249/metrics').read().decode())"
    )
    namespace = space.cluster.network_namespace(node)
    process = await asyncio.create_subprocess_exec(
        "nsenter", f"--net={namespace}", sys.executable, "-c", ask, stdout=asyncio.subprocess.PIPE
    )
    text = (await process.communicate())[0].decode()
    name = f'sagong_network_policy_dropped_packets_total{{direction="{direction}"}} '
    return float(next(line for line in text.splitlines() if line.startswith(name)).split()[-1])


async def test_peers_are_chosen_by_pod_and_by_namespace(space: Space, other: Space) -> None:
    ips, (_guest, _stranger) = await asyncio.gather(
        apps(space),
        run(other, net_pod("guest", labels={"app": "a"}), net_pod("stranger")),
    )
    await policy(space, "from-a", {"app": "c"}, ingress=[{"from": app("a")}])
    await asyncio.gather(open_(space, "a", ips["c"]), shut(space, "b", ips["c"]))
    await shut(other, "guest", ips["c"])
    # Another policy adds to the first: pods of both selectors, and a whole namespace.
    both = {"namespaceSelector": {"matchLabels": {"team": "other"}}, **app("a")[0]}
    await policy(space, "from-other", {"app": "c"}, ingress=[{"from": [both]}])
    await asyncio.gather(
        open_(other, "guest", ips["c"]),
        open_(space, "a", ips["c"]),
        shut(other, "stranger", ips["c"]),
        shut(space, "b", ips["c"]),
    )
    # Labels of pods and namespaces count as they are now.
    await other.patch("pods", "stranger", {"metadata": {"labels": {"app": "a"}}})
    await open_(other, "stranger", ips["c"])
    await space.client.patch("namespaces", other.name, {"metadata": {"labels": {"team": None}}})
    await asyncio.gather(shut(other, "guest", ips["c"]), shut(other, "stranger", ips["c"]))
    await space.patch("pods", "b", {"metadata": {"labels": {"app": "a"}}})
    await open_(space, "b", ips["c"])


async def test_ports_by_number_range_name_and_protocol(space: Space) -> None:
    ips = await apps(space)
    await policy(space, "one", {"app": "b"}, ingress=[{"ports": [{"port": 80}]}])
    await asyncio.gather(
        open_(space, "a", ips["b"]),
        shut(space, "a", ips["b"], "http", 81),
        shut(space, "a", ips["b"], "udp", 80),
    )
    change = {"ingress": [{"ports": [{"port": "web"}, {"port": 80, "protocol": "UDP"}]}]}
    await space.patch(POLICIES, "one", {"spec": change})
    await asyncio.gather(
        open_(space, "a", ips["b"], "http", 81),
        open_(space, "a", ips["b"], "udp", 80),
        shut(space, "a", ips["b"]),
    )
    change = {"ingress": [{"ports": [{"port": 79, "endPort": 81}], "from": app("c")}]}
    await space.patch(POLICIES, "one", {"spec": change})
    await asyncio.gather(
        open_(space, "c", ips["b"]),
        open_(space, "c", ips["b"], "http", 81),
        shut(space, "c", ips["b"], "udp", 80),
        shut(space, "a", ips["b"]),
    )


async def test_egress_is_kept_to_what_is_allowed(space: Space) -> None:
    ips = await apps(space)
    made = await service(space, "c", {"port": 8000, "targetPort": 80}, selector={"app": "c"})
    to_web = {"to": app("b"), "ports": [{"port": "web"}]}
    await policy(space, "out", {"app": "a"}, policyTypes=["Egress"], egress=[to_web])
    await asyncio.gather(
        open_(space, "a", ips["b"], "http", 81),
        shut(space, "a", ips["b"]),
        shut(space, "a", ips["c"]),
        shut(space, "a", made["spec"]["clusterIP"], "http", 8000),
        open_(space, "c", ips["a"]),  # answers are no egress
    )
    # A service is allowed by the pods behind it; its name resolves whatever the policy.
    change = {"egress": [to_web, {"to": app("c"), "ports": [{"port": 80}]}]}
    await space.patch(POLICIES, "out", {"spec": change})
    await open_(space, "a", "c", "http", 8000)
    # Allowed out is not yet allowed in.
    await policy(space, "in", {"app": "c"}, ingress=[{"from": app("b")}])
    await asyncio.gather(shut(space, "a", ips["c"]), open_(space, "b", ips["c"]))


async def test_address_ranges_with_exceptions(space: Space) -> None:
    ips = await apps(space)
    but = {"cidr": "10.244.0.0/16", "except": [f"{ips['b']}/32"]}
    await policy(space, "in", {"app": "c"}, ingress=[{"from": [{"ipBlock": but}]}])
    await asyncio.gather(open_(space, "a", ips["c"]), shut(space, "b", ips["c"]))
    but = {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]}
    await policy(
        space, "out", {"app": "a"}, policyTypes=["Egress"], egress=[{"to": [{"ipBlock": but}]}]
    )
    await shut(space, "a", ips["c"])
    # The API server is not on the pod network.
    told = await space.try_shell(
        "a", "wget -T 3 -qO- --no-check-certificate https://kubernetes.default/livez"
    )
    assert told.out == "ok"


async def test_pods_of_the_nodes_network_are_outside_of_it(space: Space) -> None:
    node = space.cluster.nodes[0]
    ips, _ = await asyncio.gather(
        apps(space),
        run(space, net_pod("host", labels={"app": "host"}, nodeName=node, hostNetwork=True)),
    )
    await policy(space, "deny", policyTypes=["Ingress", "Egress"])
    await asyncio.gather(
        open_(space, "host", ips["a"]),  # its node's own pods it may always reach
        shut(space, "host", ips["b"]),
        shut(space, "a", ips["b"]),
    )
    # Selecting it by label means nothing, its address does.
    await policy(space, "label", {"app": "b"}, ingress=[{"from": app("host")}])
    own = f"{(await node_addresses(space))[node]}/32"
    await policy(space, "address", {"app": "c"}, ingress=[{"from": [{"ipBlock": {"cidr": own}}]}])
    await asyncio.gather(open_(space, "host", ips["c"]), shut(space, "host", ips["b"]))


async def test_a_connection_goes_on_when_a_policy_forbids_new_ones(space: Space) -> None:
    ips = await apps(space)
    ask = "GET /{} HTTP/1.1\\r\\nHost: x\\r\\n{}\\r\\n"
    script = (
        f"(printf '{ask.format('hostname', '')}'; while [ ! -e /tmp/go ]; do sleep 0.1; done;"
        f" printf '{ask.format('clientip', 'Connection: close')}') | nc {ips['b']} 80 > /tmp/told"
    )
    talking = asyncio.ensure_future(space.shell("a", script))
    await space.shell("a", "while ! grep -q '^b' /tmp/told; do sleep 0.1; done")
    await policy(space, "deny", {"app": "b"}, policyTypes=["Ingress"])
    await shut(space, "a", ips["b"])
    await space.shell("a", "touch /tmp/go")
    await talking
    assert ips["a"] in await space.shell("a", "cat /tmp/told")


async def test_a_pod_is_guarded_before_it_starts(space: Space) -> None:
    """It asks the moment it starts, and the first answer would already be one too many."""
    ips = await apps(space)
    await policy(space, "out", {"shy": "yes"}, policyTypes=["Egress"])
    await policy(space, "anchor", {"app": "a"}, policyTypes=["Egress"])
    await shut(space, "a", ips["b"])
    ask = f"{' '.join(program('ask', 'http', ips['b'], '80', '1'))} > /tmp/told; sleep 1000"
    told = {"exec": {"command": ["test", "-s", "/tmp/told"]}, "periodSeconds": 1}
    shy = {"command": ["sh", "-c", ask], "readinessProbe": told}
    pods = [
        net_pod(f"shy-{i}", labels={"shy": "yes"}, nodeName=node, container=shy)
        for i, node in enumerate(space.cluster.nodes)
    ]
    await run(space, *pods)
    for i in range(len(pods)):
        assert await space.shell(f"shy-{i}", "cat /tmp/told") == "error: timed out\n"


async def test_a_pod_reaches_itself_through_its_service(space: Space) -> None:
    await apps(space)
    made = await service(space, "b", {"port": 8000, "targetPort": 80}, selector={"app": "b"})
    await policy(space, "deny", policyTypes=["Ingress", "Egress"])
    await wait_answers(space, "b", "http", made["spec"]["clusterIP"], 8000, {"b"}, 3)
    await shut(space, "a", made["spec"]["clusterIP"], "http", 8000)
