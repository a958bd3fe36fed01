"""What events are about: a pod, or one container of it."""

from sagong.api.types import Obj
from sagong.node.pods.model import Kind


def pod_reference(pod: Obj) -> Obj:
    metadata = pod["metadata"]
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "resourceVersion": metadata.get("resourceVersion", ""),
    }


def container_reference(pod: Obj, kind: Kind, name: str) -> Obj:
    return {**pod_reference(pod), "fieldPath": f"spec.{kind.value}{{{name}}}"}


def node_reference(node: Obj) -> Obj:
    """Upstream's node events carry the name in place of the uid."""
    name = node["metadata"]["name"]
    return {"kind": "Node", "apiVersion": "v1", "name": name, "uid": name}
