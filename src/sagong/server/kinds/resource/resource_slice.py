"""Resource slices: the devices that a driver offers on a node."""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.server.kinds.resource.validation import validate_slice, validate_slice_update
from sagong.server.kinds.strategy import Strategy


def selectable_fields(obj: Obj) -> Mapping[str, str]:
    spec = obj.get("spec") or {}
    return {"spec.nodeName": spec.get("nodeName", ""), "spec.driver": spec.get("driver", "")}


STRATEGY = Strategy(
    validate=validate_slice,
    validate_update=validate_slice_update,
    selectable_fields=selectable_fields,
    selectable_field_names=("spec.nodeName", "spec.driver"),
    has_generation=True,
    has_status=False,
)
