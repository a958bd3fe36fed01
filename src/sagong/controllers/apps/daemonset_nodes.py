"""Which nodes a DaemonSet's pods belong on, and the pod for each. Pure.

Semantics: upstream's ``NodeShouldRunDaemonPod`` and ``pkg/controller/daemon/util``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sagong.api.meta import annotations_of, labels_of, name_of
from sagong.api.placement import is_selected, tolerates
from sagong.api.types import Obj
from sagong.controllers.pods.state import node_of
from sagong.controllers.pods.template import (
    CONTROLLER_REVISION_HASH,
    labelled,
    pod_from_template,
)

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
POD_GENERATION = "pod-template-generation"
_EVERYWHERE = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_HOST_NETWORK = (("node.kubernetes.io/network-unavailable", "NoSchedule"),)


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a node should get a daemon pod, and whether one that is there may stay."""

    run: bool
    stay: bool


def with_tolerations(spec: Obj) -> Obj:
    """The pod spec tolerating what daemons must live with."""
    wanted = [*_EVERYWHERE, *(_HOST_NETWORK if spec.get("hostNetwork") else ())]
    tolerations = list(spec.get("tolerations") or ())
    for key, effect in wanted:
        new = {"key": key, "operator": "Exists", "effect": effect}
        if not any(_is_same(new, present) for present in tolerations):
            tolerations.append(new)
    return spec | {"tolerations": tolerations}


def _is_same(new: Obj, present: Obj) -> bool:
    fields = ("key", "operator", "effect", "value")
    return all(present.get(f, "") == new.get(f, "") for f in fields)


def fit(spec: Obj, node: Obj) -> Fit:
    """``spec`` is the template's, with the tolerations that daemons get."""
    pinned = spec.get("nodeName")
    if (pinned and pinned != name_of(node)) or not is_selected(spec, node):
        return Fit(False, False)
    taints = (node.get("spec") or {}).get("taints") or ()
    tolerations = spec.get("tolerations") or ()
    refused = {
        taint["effect"]
        for taint in taints
        if not any(tolerates(toleration, taint) for toleration in tolerations)
    }
    if refused & {"NoSchedule", "NoExecute"}:
        return Fit(False, "NoExecute" not in refused)
    return Fit(True, True)


def target_of(pod: Obj) -> str:
    """The node a daemon pod is bound to or made for; "" if unknown."""
    if node_of(pod):
        return node_of(pod)
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    for term in affinity.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field["key"] == "metadata.name" and field["operator"] == "In" and field["values"]:
                return str(field["values"][0])
    return ""


def template_generation(daemon_set: Obj) -> str | None:
    return annotations_of(daemon_set).get(TEMPLATE_GENERATION)


def is_updated(daemon_set: Obj, pod: Obj, hash_: str) -> bool:
    """Whether the pod is of the present template."""
    labels = labels_of(pod)
    generation = template_generation(daemon_set)
    by_generation = generation is not None and labels.get(POD_GENERATION) == generation
    return by_generation or (bool(hash_) and labels.get(CONTROLLER_REVISION_HASH) == hash_)


def new_pods(daemon_set: Obj, nodes: Iterable[str], hash_: str) -> list[Obj]:
    """A pod for each node, that only this node can take."""
    labels = {CONTROLLER_REVISION_HASH: hash_}
    generation = template_generation(daemon_set)
    if generation is not None:
        labels[POD_GENERATION] = generation
    template = labelled(daemon_set["spec"]["template"], labels)
    template = template | {"spec": with_tolerations(template["spec"])}
    made = []
    for node in nodes:
        pod = pod_from_template(template, daemon_set)
        affinity = _pinned(template["spec"].get("affinity") or {}, node)
        made.append(pod | {"spec": pod["spec"] | {"affinity": affinity}})
    return made


def _pinned(affinity: Obj, node: str) -> Obj:
    """Other terms are dropped: the controller has chosen the node by them already."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    rest = affinity.get("nodeAffinity") or {}
    pinned = rest | {"requiredDuringSchedulingIgnoredDuringExecution": required}
    return affinity | {"nodeAffinity": pinned}
