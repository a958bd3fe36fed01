"""Resource slices: the devices that a driver offers on a node."""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.server.kinds.resource.slice_validation import validate_slice, validate_slice_update
from sagong.server.kinds.strategy import Strategy


def selectable_fields(obj: Obj) -> Mapping[str, str]:
    spec = obj.get("spec") or {}
    return {"spec.nodeName": spec.get("nodeName", ""), "spec.driver": spec.get("driver", "")}


def prepare_for_create(obj: Obj) -> None:
    """Taints that do not say since when they are there are there from now on."""
    for device in (obj.get("spec") or {}).get("devices") or ():
        for taint in device.get("taints") or ():
            if taint.get("timeAdded") is None:
                taint["timeAdded"] = obj["metadata"]["creationTimestamp"]


STRATEGY = Strategy(
    prepare_for_create=prepare_for_create,
    validate=validate_slice,
    validate_update=validate_slice_update,
    selectable_fields=selectable_fields,
    selectable_field_names=("spec.nodeName", "spec.driver"),
    has_generation=True,
    has_status=False,
)
