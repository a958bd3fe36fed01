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
