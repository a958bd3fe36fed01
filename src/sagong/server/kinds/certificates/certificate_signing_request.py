"""Certificate signing requests. Who asks is written by admission, not by the client."""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    obj.setdefault("spec", {})
    obj.setdefault("status", {})


def prepare_for_update(new: Obj, old: Obj) -> None:
    """The spec never changes."""
    new["spec"] = old["spec"]


def selectable_fields(obj: Obj) -> Mapping[str, str]:
    return {"spec.signerName": (obj.get("spec") or {}).get("signerName", "")}


STRATEGY = Strategy(
    default=default,
    prepare_for_update=prepare_for_update,
    selectable_fields=selectable_fields,
    selectable_field_names=("spec.signerName",),
    name_rule="path-segment",
)
