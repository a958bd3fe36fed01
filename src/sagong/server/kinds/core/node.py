"""Nodes."""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.server.kinds.core.node_validation import validate_node, validate_node_update
from sagong.server.kinds.strategy import Strategy


def default(node: Obj) -> None:
    """What a node has in all is what pods may use, unless it says less."""
    _agree_on_cidrs(node.setdefault("spec", {}))
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


def _agree_on_cidrs(spec: Obj) -> None:
    """The one pod CIDR is the first of the list of them; what only one says is true of both."""
    one, several = spec.get("podCIDR"), spec.get("podCIDRs") or []
    if one and several[:1] != [one]:
        spec["podCIDRs"] = [one]
    elif several and not one:
        spec["podCIDR"] = several[0]


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
    status_on_create=True,
    selectable_fields=selectable_fields,
    selectable_field_names=("spec.unschedulable",),
)
