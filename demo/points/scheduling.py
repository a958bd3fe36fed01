"""Point 8: where pods go, and what a pod that fits nowhere says."""

import json
from collections import Counter

from demo.scene import Obj, Scene, is_ready

IMAGE = "sagong.local/busybox:1"


def show(scene: Scene) -> None:
    scene.run_kubectl("create", "namespace", "shop")
    first, second, *_ = scene.nodes()
    try:
        _place(scene, first, second)
        _spread(scene)
        _pending(scene, first)
    finally:
        scene.run_kubectl("taint", "node", first, "demo-")
        scene.run_kubectl("label", "node", second, "disk-")
        scene.run_kubectl("delete", "pod", "-l", "demo=scheduling", "--now", "--wait=false")


def _pod(name: str, *, labels: Obj | None = None, **spec: object) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"demo": "scheduling", **(labels or {})}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": IMAGE, "command": ["sleep", "600"]}],
            **spec,
        },
    }


def _run(scene: Scene, pod: Obj) -> str:
    """Create a pod afresh; the node where it becomes Ready, or ""."""
    name = pod["metadata"]["name"]
    scene.kubectl("delete", "pod", name, "--ignore-not-found", "--now")
    scene.kubectl("create", "-f", "-", stdin=json.dumps(pod))
    ready = scene.until(lambda: is_ready(scene.get("pod", name)), 40)
    return str(scene.get("pod", name)["spec"]["nodeName"]) if ready else ""


def _place(scene: Scene, first: str, second: str) -> None:
    scene.kubectl("label", "node", second, "disk=fast", "--overwrite")
    node = _run(scene, _pod("selecting", nodeSelector={"disk": "fast"}))
    scene.fact("a node selector is followed", node == second, node)
    wanted = {"key": "disk", "operator": "NotIn", "values": ["fast"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    node = _run(scene, _pod("avoiding", affinity={"nodeAffinity": {required: terms}}))
    scene.fact("node affinity is followed", node not in ("", second), node)
    term = {
        "labelSelector": {"matchLabels": {"pair": "one"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    there = _run(scene, _pod("leader", labels={"pair": "one"}))
    node = _run(scene, _pod("follower", affinity={"podAffinity": {required: [term]}}))
    scene.fact("pod affinity brings pods together", node == there != "", node)
    node = _run(scene, _pod("rival", affinity={"podAntiAffinity": {required: [term]}}))
    scene.fact("anti-affinity keeps them apart", node not in ("", there), node)
    scene.kubectl("taint", "node", first, "demo=yes:NoSchedule", "--overwrite")
    nodes = {_run(scene, _pod(f"shy-{i}")) for i in range(2)}
    scene.fact("a taint is avoided", first not in nodes and "" not in nodes, sorted(nodes))
    toleration = {"key": "demo", "operator": "Exists", "effect": "NoSchedule"}
    selector = {"kubernetes.io/hostname": first}
    node = _run(scene, _pod("bold", tolerations=[toleration], nodeSelector=selector))
    scene.fact("a toleration lets a pod in", node == first, node)


def _spread(scene: Scene) -> None:
    constraint = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"group": "spread"}},
        "nodeTaintsPolicy": "Honor",
    }
    nodes = [
        _run(scene, _pod(f"spread-{i}", labels={"group": "spread"},
                         topologySpreadConstraints=[constraint]))
        for i in range(4)
    ]  # fmt: skip
    count = Counter(nodes)
    even = "" not in count and sorted(count.values()) == [2, 2]
    scene.fact("four pods spread over the two nodes without taints", even, dict(count))


def _pending(scene: Scene, tainted: str) -> None:
    """Upstream's message: every reason with its number of nodes, sorted."""
    big = {"requests": {"cpu": "500"}}
    pod = _pod("too-big")
    pod["spec"]["containers"][0]["resources"] = big
    scene.kubectl("delete", "pod", "too-big", "--ignore-not-found", "--now")
    scene.kubectl("create", "-f", "-", stdin=json.dumps(pod))
    message = scene.until(lambda: _scheduling_message(scene, "too-big"), 20)
    wanted = (
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. "
        "no new claims to deallocate, preemption: 0/3 nodes are available: "
        "3 Preemption is not helpful for scheduling."
    )
    scene.fact("a pod that fits nowhere says why", message == wanted, message)
    phase = scene.get("pod", "too-big")["status"]["phase"]
    scene.fact("and is Pending", phase == "Pending", phase)


def _scheduling_message(scene: Scene, name: str) -> str:
    conditions = scene.get("pod", name)["status"].get("conditions") or ()
    return next((str(c.get("message", "")) for c in conditions if c["type"] == "PodScheduled"), "")
