"""Pod and container facts that may be read from inside: fieldRef and resourceFieldRef."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from sagong.api.quantities import NANO, Quantity, parse
from sagong.api.types import Obj
from sagong.node.pods.failures import ConfigFailure
from sagong.node.pods.spec import find_container

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a pod may learn of its node."""

    name: str
    host_ips: Sequence[str]
    allocatable: Mapping[str, str]  # resource name -> quantity


def field_value(pod: Obj, path: str, node: NodeFacts, pod_ips: Sequence[str]) -> str:
    """The text of a field path. Raises ConfigFailure if the path is not supported."""
    metadata, spec = pod["metadata"], pod["spec"]
    if match := _SUBSCRIPT.match(path):
        return str((metadata.get(match.group(1)) or {}).get(match.group(2), ""))
    values = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "metadata.labels": _format_map(metadata.get("labels") or {}),
        "metadata.annotations": _format_map(metadata.get("annotations") or {}),
        "spec.nodeName": node.name,
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": next(iter(node.host_ips), ""),
        "status.hostIPs": ",".join(node.host_ips),
        "status.podIP": next(iter(pod_ips), ""),
        "status.podIPs": ",".join(pod_ips),
    }
    if path not in values:
        raise ConfigFailure(f"unsupported fieldPath: {path}")
    return str(values[path])


def _format_map(entries: Mapping[str, str]) -> str:
    """One ``key="value"`` a line, sorted, the value quoted as Go quotes it."""
    return "\n".join(f"{k}={orjson.dumps(v).decode()}" for k, v in sorted(entries.items()))


def resource_value(pod: Obj, container: Obj, reference: Obj, node: NodeFacts) -> str:
    """The number of a resourceFieldRef, in units of its divisor, rounded up.

    A limit that is not set is what the node can give. Raises ConfigFailure.
    """
    name = reference.get("containerName")
    if name and name != container.get("name"):
        found = find_container(pod, name)
        if found is None:
            raise ConfigFailure(f"container {name} not found")
        container = found[1]
    which, _, resource = str(reference["resource"]).partition(".")
    if which not in ("limits", "requests"):
        raise ConfigFailure(f"unsupported container resource : {reference['resource']}")
    amounts = (container.get("resources") or {}).get(which) or {}
    text = amounts.get(resource)
    if text is None and which == "limits":
        text = node.allocatable.get(resource)
    amount = parse(text) if text is not None else Quantity(0)
    divisor = parse(reference.get("divisor") or "0")
    if divisor.nano == 0:
        divisor = Quantity(NANO)
    return str(-(-amount.nano // divisor.nano))
