"""Whether a node takes a pod that was bound to it: tables."""

import dataclasses
from typing import Any

import pytest

from sagong.api.types import Obj
from sagong.node.pods.admission import Features, NodeState, Refused, refusal
from sagong.node.pods.preemption import is_preemptable, victims

GI = 1 << 30
NODE = NodeState(
    node={"metadata": {"name": "n", "labels": {"disk": "ssd"}}, "spec": {}},
    allocatable={"cpu": 2000, "memory": 4 * GI, "pods": 3, "ephemeral-storage": 10 * GI},
    others=(),
)


def pod(cpu: str = "", name: str = "p", **spec: Any) -> Obj:
    container: Obj = {"name": "c", "image": "i"}
    if cpu:
        container["resources"] = {"requests": {"cpu": cpu}}
    container |= spec.pop("container", {})
    return {
        "metadata": {"name": name, "namespace": "d", "uid": name},
        "spec": {"nodeName": "n", "containers": [container], **spec},
    }


def node(taints: tuple[Obj, ...] = (), **changes: Any) -> NodeState:
    own = {**NODE.node, "spec": {"taints": list(taints)}} if taints else NODE.node
    return dataclasses.replace(NODE, node=own, **changes)


def port(number: int, **more: Any) -> Obj:
    return {"ports": [{"containerPort": 80, "hostPort": number, **more}]}


EVICTING = {"key": "k", "value": "v", "effect": "NoExecute"}
AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["hdd"]}]}
            ]
        }
    }
}


@pytest.mark.parametrize(
    ("wanted", "state", "reason", "message"),
    [
        (
            pod("1500m"),
            node(others=(pod("1", "o"),)),
            "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
        ),
        (
            pod(),
            node(others=(pod(name="a"), pod(name="b"), pod(name="c"))),
            "OutOfpods",
            "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
        ),
        (
            pod(nodeSelector={"disk": "hdd"}),
            node(),
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        (
            pod(affinity=AFFINITY),
            node(),
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        (
            pod(container=port(8080)),
            node(others=(pod(name="o", container=port(8080, hostIP="127.0.0.1")),)),
            "NodePorts",
            "Predicate NodePorts failed: "
            "node(s) didn't have free ports for the requested pod ports",
        ),
        (
            pod(),
            node((EVICTING,)),
            "TaintToleration",
            "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
        ),
        (
            pod(),
            node(pressures=("MemoryPressure",)),
            "Evicted",
            "The node had condition: [MemoryPressure]. ",
        ),
        (
            pod("1"),
            node(pressures=("DiskPressure", "MemoryPressure")),
            "Evicted",
            "The node had condition: [DiskPressure MemoryPressure]. ",
        ),
        (
            pod(),
            node(is_shutting_down=True),
            "NodeShutdown",
            "Pod was rejected as the node is shutting down.",
        ),
        (
            pod(securityContext={"supplementalGroupsPolicy": "Strict"}),
            node(),
            "SupplementalGroupsPolicyNotSupported",
            "SupplementalGroupsPolicy=Strict is not supported in this node",
        ),
        (
            pod(container={"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}),
            node(),
            "AppArmor",
            "Cannot enforce AppArmor: AppArmor is not enabled on the host",
        ),
        (
            pod(os={"name": "windows"}),
            node(),
            "PodOSNotSupported",
            "Failed to admit pod as the OS field doesn't match node OS",
        ),
        (
            pod(hostNetwork=True, securityContext={"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}),
            node(),
            "SysctlForbidden",
            'forbidden sysctl: "net.ipv4.tcp_rmem" not allowed with host net enabled',
        ),
        (
            pod(securityContext={"sysctls": [{"name": "kernel/msgmax"}]}),
            node(),
            "SysctlForbidden",
            'forbidden sysctl: "kernel.msgmax" not allowlisted',
        ),
    ],
)
def test_refusals(wanted: Obj, state: NodeState, reason: str, message: str) -> None:
    assert refusal(wanted, state) == Refused(reason, message)


@pytest.mark.parametrize(
    ("wanted", "state"),
    [
        (pod("2"), node()),
        (pod("1"), node(others=(pod("1", "o"),))),
        (pod(nodeSelector={"disk": "ssd"}), node()),
        (pod(container=port(80)), node(others=(pod(name="o", container=port(81)),))),
        (
            pod(container=port(80, hostIP="10.0.0.1")),
            node(others=(pod(name="o", container=port(80, hostIP="10.0.0.2")),)),
        ),
        (
            pod(container=port(80)),
            node(others=(pod(name="o", container=port(80, protocol="UDP")),)),
        ),
        (pod(tolerations=[{"operator": "Exists"}]), node((EVICTING,))),
        (pod(), node(({**EVICTING, "effect": "NoSchedule"},))),
        (pod("1"), node(pressures=("MemoryPressure",))),
        (pod(priority=2_000_001_000), node(pressures=("DiskPressure",))),
        (
            pod(securityContext={"sysctls": [{"name": "kernel.msgmax"}]}),
            node(unsafe_sysctls=("kernel.msg*",)),
        ),
        (pod(securityContext={"sysctls": [{"name": "kernel.shm_rmid_forced"}]}), node()),
        (pod(securityContext={"supplementalGroupsPolicy": "Merge"}), node()),
        (pod(securityContext={"appArmorProfile": {"type": "Unconfined"}}), node()),
        (
            pod(
                securityContext={
                    "supplementalGroupsPolicy": "Strict",
                    "appArmorProfile": {"type": "RuntimeDefault"},
                }
            ),
            node(features=Features(strict_groups=True, app_armor=True)),
        ),
    ],
)
def test_what_is_taken(wanted: Obj, state: NodeState) -> None:
    assert refusal(wanted, state) is None


def of_class(name: str, cpu: str, quality: str, **spec: Any) -> Obj:
    amounts = {"cpu": cpu, "memory": "1Gi"}
    resources = {"requests": amounts, "limits": amounts} if quality == "Guaranteed" else {}
    if quality == "Burstable":
        resources = {"requests": {"cpu": cpu}}
    return pod(name=name, container={"resources": resources}, **spec)


CRITICAL = 2_000_000_000


@pytest.mark.parametrize(
    ("missing", "gone"),
    [
        ({"pods": 1}, ["bes"]),
        ({"cpu": 200}, ["low"]),  # the nearest, not the largest
        ({"cpu": 500}, ["mid"]),
        ({"cpu": 900}, ["low", "mid"]),
        ({"cpu": 1200}, ["low", "mid", "gua"]),
        ({"cpu": 200, "pods": 2}, ["bes", "low"]),
        ({"cpu": 9000}, []),
    ],
)
def test_who_makes_room_for_a_critical_pod(missing: dict[str, int], gone: list[str]) -> None:
    others = [
        of_class("gua", "500m", "Guaranteed"),
        of_class("mid", "600m", "Burstable"),
        of_class("low", "300m", "Burstable"),
        of_class("bes", "", "BestEffort"),
        of_class("cri", "4", "Burstable", priority=CRITICAL),
    ]
    found = victims(pod("1", priority=CRITICAL), others, missing)
    assert sorted(p["metadata"]["name"] for p in found) == sorted(gone)
    higher = pod("1", priority=CRITICAL + 1)
    assert is_preemptable(higher, others[-1])
    assert not is_preemptable(pod("1", priority=CRITICAL), others[-1])
