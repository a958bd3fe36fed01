"""Replication controllers."""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.server.kinds.core.pod_spec import default_pod_template
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    template = spec.get("template")
    if template is not None:
        default_pod_template(template)
        labels = template["metadata"].get("labels")
        if labels:
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            if not obj["metadata"].get("labels"):
                obj["metadata"]["labels"] = dict(labels)
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    obj.setdefault("status", {}).setdefault("replicas", 0)


def prepare_for_create(obj: Obj) -> None:
    obj["status"] = {"replicas": 0}


def selectable_fields(obj: Obj) -> Mapping[str, str]:
    return {"status.replicas": str((obj.get("status") or {}).get("replicas", 0))}


STRATEGY = Strategy(
    default=default,
    prepare_for_create=prepare_for_create,
    selectable_fields=selectable_fields,
    selectable_field_names=("status.replicas",),
    has_generation=True,
    default_propagation="orphan",
)
