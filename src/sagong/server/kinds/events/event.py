"""events.k8s.io/v1 Event: stored as core/v1 Event, selected by the newer names of its fields."""

from collections.abc import Mapping
from dataclasses import replace

from sagong.api.types import Obj
from sagong.server.kinds.core import event as core_event

_REGARDING = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def selectable_fields(event: Obj) -> Mapping[str, str]:
    """Of the stored form, which is core/v1's."""
    involved = event.get("involvedObject") or {}
    return {
        **{f"regarding.{name}": involved.get(name, "") for name in _REGARDING},
        "reason": event.get("reason", ""),
        "reportingController": event.get("reportingComponent", ""),
        "type": event.get("type", ""),
    }


STRATEGY = replace(
    core_event.STRATEGY,
    selectable_fields=selectable_fields,
    selectable_field_names=(
        *(f"regarding.{name}" for name in _REGARDING),
        "reason",
        "reportingController",
        "type",
    ),
)
