"""events.k8s.io/v1 Event: the same objects as core/v1 Event, with other field names."""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(event: Obj) -> None:
    """Fields that Kubernetes always writes, set or not."""
    event.setdefault("eventTime", None)


def selectable_fields(event: Obj) -> Mapping[str, str]:
    regarding = event.get("regarding") or {}
    names = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    fields = {f"regarding.{name}": regarding.get(name, "") for name in names}
    return {
        **fields,
        "reason": event.get("reason", ""),
        "reportingController": event.get("reportingController", ""),
        "type": event.get("type", ""),
    }


STRATEGY = Strategy(
    default=default,
    selectable_fields=selectable_fields,
    selectable_field_names=(
        "regarding.kind",
        "regarding.namespace",
        "regarding.name",
        "regarding.uid",
        "regarding.apiVersion",
        "regarding.resourceVersion",
        "regarding.fieldPath",
        "reason",
        "reportingController",
        "type",
    ),
    has_status=False,
    create_on_update=True,
)
