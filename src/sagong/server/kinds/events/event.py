"""events.k8s.io/v1 Event: stored as core/v1 Event, selected by the newer names of its fields."""

from collections.abc import Mapping
from dataclasses import replace

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
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


def validate(event: Obj, errors: ErrorList) -> None:
    """Strict, unlike ``v1``: the newer fields are required, the deprecated ones are not there."""
    if event.get("eventTime"):
        core_event.validate_newer(event, "reportingController", errors)
    else:
        core_event.validate(event, errors)
        errors.required(Path("eventTime"))
    type_ = event.get("type") or ""
    if type_ not in ("Normal", "Warning"):
        errors.invalid(Path("type"), "", f"has invalid value: {type_}")
    for field in ("firstTimestamp", "lastTimestamp", "count", "source"):
        if event.get(field):
            errors.invalid(Path(field), "", "needs to be unset")


STRATEGY = replace(
    core_event.STRATEGY,
    validate=validate,
    selectable_fields=selectable_fields,
    selectable_field_names=(
        *(f"regarding.{name}" for name in _REGARDING),
        "reason",
        "reportingController",
        "type",
    ),
)
