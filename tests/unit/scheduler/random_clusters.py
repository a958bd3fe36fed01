"""Clusters and pods by chance: few labels and small nodes, so that rules meet and clash."""

import random
from typing import Any

from tests.unit.scheduler.cluster import make_node, make_pod

from sagong.api.types import Obj

HOST, ZONE, RACK = "kubernetes.io/hostname", "topology.kubernetes.io/zone", "rack"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NAMESPACES = {"default": {"team": "x"}, "other": {"team": "y"}, "third": {}}
_EFFECTS = ("NoSchedule", "NoExecute", "PreferNoSchedule")
_IMAGES = ("big:1", "small:1")


def random_node(rng: random.Random, name: str) -> Obj:
    labels = {}
    if rng.random() < 0.9:
        labels[ZONE] = f"z{rng.randrange(3)}"
    if rng.random() < 0.5:
        labels[RACK] = f"r{rng.randrange(2)}"
    if rng.random() < 0.5:
        labels["gen"] = str(rng.randrange(5))
    taints = [
        {"key": rng.choice("kl"), "value": rng.choice("vw"), "effect": rng.choice(_EFFECTS)}
        for _ in range(rng.choice((0, 0, 0, 1, 2)))
    ]
    node = make_node(
        name,
        cpu=rng.choice(("1", "2", "4", "3900m")),
        memory=rng.choice(("1Gi", "2Gi", "3Gi")),
        pods=rng.choice((1, 3, 110)),
        labels=labels,
        taints=taints,
        unschedulable=rng.random() < 0.05,
    )
    node["status"]["images"] = [
        {"names": [image], "sizeBytes": rng.choice((10, 200, 900)) * 2**20}
        for image in _IMAGES
        if rng.random() < 0.3
    ]
    if rng.random() < 0.2:
        node["status"]["allocatable"]["example.com/gpu"] = "2"
    return node


def random_pod(rng: random.Random, name: str) -> Obj:
    spec: dict[str, Any] = {}
    affinity = _affinity(rng)
    if affinity:
        spec["affinity"] = affinity
    if rng.random() < 0.25:
        spec["topologySpreadConstraints"] = _constraints(rng)
    if rng.random() < 0.3:
        spec["tolerations"] = [_toleration(rng)]
    if rng.random() < 0.1:
        spec["nodeSelector"] = {RACK: "r0"}
    pod = make_pod(
        name,
        cpu=rng.choice(("", "100m", "500m", "1500m")),
        memory=rng.choice(("", "100Mi", "900Mi")),
        labels={"app": rng.choice("abc")} if rng.random() < 0.9 else {},
        namespace=rng.choice(tuple(NAMESPACES)),
        **spec,
    )
    container = pod["spec"]["containers"][0]
    container["image"] = rng.choice(("big:1", "small:1", "none"))
    if rng.random() < 0.1:
        container["ports"] = [
            {"containerPort": 80, "hostPort": rng.choice((80, 81))}
            | ({"hostIP": "10.0.0.1"} if rng.random() < 0.5 else {})
        ]
    if rng.random() < 0.05:
        container["resources"]["requests"]["example.com/gpu"] = "1"
    if rng.random() < 0.1:
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return pod


def _toleration(rng: random.Random) -> Obj:
    return rng.choice(
        (
            {"operator": "Exists"},
            {"key": "k", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "k", "operator": "Equal", "value": "v"},
            {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"},
        )
    )


def _selector(rng: random.Random) -> Obj | None:
    return rng.choice(
        (
            {"matchLabels": {"app": rng.choice("abc")}},
            {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]},
            {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]},
            {},
        )
    )


def _pod_term(rng: random.Random) -> Obj:
    term: Obj = {"labelSelector": _selector(rng), "topologyKey": rng.choice((HOST, ZONE, RACK))}
    if rng.random() < 0.2:
        term["namespaces"] = ["other"]
    if rng.random() < 0.3:
        term["namespaceSelector"] = rng.choice(({}, {"matchLabels": {"team": "y"}}))
    return term


def _node_term(rng: random.Random) -> Obj:
    return rng.choice(
        (
            {"matchExpressions": [{"key": "gen", "operator": "Gt", "values": ["2"]}]},
            {"matchExpressions": [{"key": "gen", "operator": "Lt", "values": ["3"]}]},
            {"matchExpressions": [{"key": ZONE, "operator": "NotIn", "values": ["z1"]}]},
            {"matchExpressions": [{"key": RACK, "operator": "Exists"}]},
            {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]},
            {},
        )
    )


def _affinity(rng: random.Random) -> Obj:
    found: Obj = {}
    if rng.random() < 0.2:
        terms = [_node_term(rng) for _ in range(rng.choice((1, 2)))]
        found["nodeAffinity"] = {REQUIRED: {"nodeSelectorTerms": terms}}
    if rng.random() < 0.2:
        entry = {"weight": rng.randrange(1, 101), "preference": _node_term(rng)}
        found.setdefault("nodeAffinity", {})[PREFERRED] = [entry]
    for side in ("podAffinity", "podAntiAffinity"):
        if rng.random() < 0.15:
            many = range(rng.choice((1, 1, 2)))
            found.setdefault(side, {})[REQUIRED] = [_pod_term(rng) for _ in many]
        if rng.random() < 0.15:
            entry = {"weight": rng.randrange(1, 101), "podAffinityTerm": _pod_term(rng)}
            found.setdefault(side, {})[PREFERRED] = [entry]
    return found


def _constraints(rng: random.Random) -> list[Obj]:
    found = []
    for key in rng.sample((HOST, ZONE, RACK), rng.choice((1, 1, 2))):
        when = rng.choice(("DoNotSchedule", "ScheduleAnyway"))
        constraint: Obj = {
            "maxSkew": rng.choice((1, 2)),
            "topologyKey": key,
            "whenUnsatisfiable": when,
            "labelSelector": _selector(rng),
        }
        if rng.random() < 0.3:
            constraint["nodeTaintsPolicy"] = "Honor"
        if rng.random() < 0.3:
            constraint["nodeAffinityPolicy"] = "Ignore"
        if rng.random() < 0.2 and when == "DoNotSchedule":
            constraint["minDomains"] = 3
        if rng.random() < 0.2:
            constraint["matchLabelKeys"] = ["app"]
        found.append(constraint)
    return found
