"""Nodes."""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.server.kinds.core.node_validation import validate_node, validate_node_update
from sagong.server.kinds.strategy import Strategy


def default(node: Obj) -> None:
    """What a node has in all is what pods may use, unless it says less."""
    node.setdefault("spec", {})
    status = node.setdefault("status", {})
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])
    daemon = status.setdefault("daemonEndpoints", {})
    daemon.setdefault("kubeletEndpoint", {"Port": 0})
    status.setdefault("nodeInfo", dict.fromkeys(_NODE_INFO, ""))


_NODE_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)


def prepare_for_update(new: Obj, old: Obj) -> None:
    """The one pod CIDR and the list of them mean the same."""
    spec = new.setdefault("spec", {})
    if spec.get("podCIDR") and not spec.get("podCIDRs"):
        spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs") and not spec.get("podCIDR"):
        spec["podCIDR"] = spec["podCIDRs"][0]


def prepare_for_create(node: Obj) -> None:
    prepare_for_update(node, node)


def selectable_fields(node: Obj) -> Mapping[str, str]:
    unschedulable = (node.get("spec") or {}).get("unschedulable")
    return {"spec.unschedulable": "true" if unschedulable else "false"}


def warnings(new: Obj, old: Obj | None) -> list[str]:
    spec = new.get("spec") or {}
    found = []
    if spec.get("configSource") is not None:
        found.append("spec.configSource: the spec.configSource feature is removed")
    if spec.get("externalID"):
        found.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
    return found


STRATEGY = Strategy(
    warnings=warnings,
    validate=validate_node,
    validate_update=validate_node_update,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    status_on_create=True,
    selectable_fields=selectable_fields,
    selectable_field_names=("spec.unschedulable",),
)
