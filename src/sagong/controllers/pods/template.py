"""Pods and revisions from a pod template (upstream ``GetPodFromTemplate``, ``EqualIgnoreHash``)."""

from typing import Any

from sagong.api.meta import name_of, namespace_of, owner_reference
from sagong.api.types import Obj

POD_TEMPLATE_HASH = "pod-template-hash"
CONTROLLER_REVISION_HASH = "controller-revision-hash"


def pod_from_template(template: Obj, owner: Obj) -> Obj:
    """A new pod with the template's labels, annotations, finalizers and spec, and a controller.

    It is named by the server after the owner. The spec is shared with the template: copy before
    changing it.
    """
    meta = template.get("metadata") or {}
    metadata: Obj = {
        "generateName": name_of(owner) + "-",
        "namespace": namespace_of(owner),
        "ownerReferences": [owner_reference(owner)],
    }
    for field in ("labels", "annotations"):
        if meta.get(field):
            metadata[field] = dict(meta[field])
    if meta.get("finalizers"):
        metadata["finalizers"] = list(meta["finalizers"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def labelled(template: Obj, labels: dict[str, str]) -> Obj:
    """The template with more labels."""
    metadata = template.get("metadata") or {}
    merged = {**(metadata.get("labels") or {}), **labels}
    return template | {"metadata": metadata | {"labels": merged}}


def pruned(value: Any) -> Any:
    """Without nulls and empty maps and lists, which the API does not tell from absence."""
    if isinstance(value, dict):
        members = ((k, pruned(v)) for k, v in value.items())
        return {k: v for k, v in members if v is not None and v != {} and v != []}
    if isinstance(value, list):
        return [pruned(v) for v in value]
    return value


def same_but_hash(left: Obj, right: Obj) -> bool:
    """Whether two templates differ in nothing but the label ``pod-template-hash``."""
    return bool(_unhashed(left) == _unhashed(right))


def _unhashed(template: Obj) -> Any:
    metadata = template.get("metadata") or {}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != POD_TEMPLATE_HASH}
    return pruned(template | {"metadata": metadata | {"labels": labels}})
