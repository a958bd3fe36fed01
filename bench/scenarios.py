"""The scenarios of upstream's scheduler_perf, by its names: nodes, pods before, pods measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Obj = dict[str, Any]
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True)
class Scenario:
    """How many pods come first and how many are measured is per 5,000 nodes; fewer take less."""

    pod: Callable[[int, int], Obj]  # number of the pod, number of nodes
    before: Callable[[int, int], Obj] | None = None
    before_pods: float = 1.0  # a node
    pods: float = 1.0  # a node
    zones: int = 1
    stay_pending: bool = False  # the pods before find no place
    gated: bool = False
    churns: bool = False


def node(number: int, zones: int) -> Obj:
    amounts = {"cpu": "4", "memory": "32Gi", "pods": "110"}
    labels = {HOST: f"node-{number}", ZONE: f"zone{number % zones + 1}"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"node-{number}", "labels": labels},
        "spec": {},
        "status": {"capacity": amounts, "allocatable": amounts},
    }


def pod(name: str, *, cpu: str = "100m", memory: str = "500Mi", **more: Any) -> Obj:
    labels = more.pop("labels", {})
    container = {
        "name": "pause",
        "image": "registry.k8s.io/pause:3.10",
        "ports": [{"containerPort": 80}],
        "resources": {
            "requests": {"cpu": cpu, "memory": memory},
            "limits": {"cpu": cpu, "memory": memory},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"containers": [container], **more},
    }


def basic(number: int, nodes: int) -> Obj:
    return pod(f"basic-{number}")


def _with_affinity(kind: str, color: str, affinity: Obj) -> Callable[[int, int], Obj]:
    def make(number: int, nodes: int) -> Obj:
        return pod(f"{kind}-{number}", labels={"color": color}, affinity=affinity)

    return make


def _term(color: str, key: str) -> Obj:
    return {"labelSelector": {"matchLabels": {"color": color}}, "topologyKey": key}


_affinity = _with_affinity("affinity", "blue", {"podAffinity": {REQUIRED: [_term("blue", ZONE)]}})
_anti = _with_affinity("anti", "green", {"podAntiAffinity": {REQUIRED: [_term("green", HOST)]}})
_prefers = _with_affinity(
    "prefers",
    "red",
    {"podAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": _term("red", HOST)}]}},
)
_shuns = _with_affinity(
    "shuns",
    "yellow",
    {"podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": _term("yellow", HOST)}]}},
)
_zones = {"key": ZONE, "operator": "In", "values": ["zone1", "zone2"]}
_node_affinity = _with_affinity(
    "nodes",
    "none",
    {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [_zones]}]}}},
)


def _spread(when: str) -> Callable[[int, int], Obj]:
    constraint = {
        "maxSkew": 5,
        "topologyKey": ZONE,
        "whenUnsatisfiable": when,
        "labelSelector": {"matchLabels": {"color": "blue"}},
    }

    def make(number: int, nodes: int) -> Obj:
        return pod(
            f"spread-{number}", labels={"color": "blue"}, topologySpreadConstraints=[constraint]
        )

    return make


def _mixed(number: int, nodes: int) -> Obj:
    makers = (basic, _affinity, _anti, _prefers, _shuns)
    return makers[number % len(makers)](number, nodes)


def _low(number: int, nodes: int) -> Obj:
    return pod(f"low-{number}", cpu="900m", priority=0)


def _high(number: int, nodes: int) -> Obj:
    return pod(f"high-{number}", cpu="3000m", priority=10)


def _large(number: int, nodes: int) -> Obj:
    return pod(f"large-{number}", cpu="9000m")


def _daemon(number: int, nodes: int) -> Obj:
    name = {"key": "metadata.name", "operator": "In", "values": [f"node-{number % nodes}"]}
    required = {"nodeSelectorTerms": [{"matchFields": [name]}]}
    return pod(f"daemon-{number}", affinity={"nodeAffinity": {REQUIRED: required}})


def _gated(number: int, nodes: int) -> Obj:
    return pod(f"gated-{number}", schedulingGates=[{"name": "wait"}])


SCENARIOS = {
    "SchedulingBasic": Scenario(basic, basic, before_pods=0.2),
    "SchedulingPodAffinity": Scenario(_affinity, _affinity),
    "SchedulingPodAntiAffinity": Scenario(_anti, _anti, before_pods=0.2, pods=0.6),
    "SchedulingPreferredPodAffinity": Scenario(_prefers, _prefers),
    "SchedulingPreferredPodAntiAffinity": Scenario(_shuns, _shuns),
    "SchedulingNodeAffinity": Scenario(_node_affinity, _node_affinity, zones=3),
    "TopologySpreading": Scenario(_spread("DoNotSchedule"), basic, zones=3),
    "PreferredTopologySpreading": Scenario(_spread("ScheduleAnyway"), basic, zones=3),
    "MixedSchedulingBasePod": Scenario(basic, _mixed, before_pods=1.0),
    "PreemptionBasic": Scenario(_high, _low, before_pods=4.0, pods=0.1),
    "Unschedulable": Scenario(basic, _large, before_pods=0.04, stay_pending=True),
    "SchedulingWithMixedChurn": Scenario(basic, churns=True),
    "SchedulingDaemonset": Scenario(_daemon),
    "SchedulingWhileGated": Scenario(basic, _gated, before_pods=2.0, gated=True),
}


def many(maker: Callable[[int, int], Obj], nodes: int, count: float) -> Iterator[Obj]:
    for number in range(round(count)):
        yield maker(number, nodes)
