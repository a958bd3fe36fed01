"""Secrets."""

import base64
from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(secret: Obj) -> None:
    if not secret.get("type"):
        secret["type"] = "Opaque"
    text = secret.pop("stringData", None)
    if text:
        data = secret.setdefault("data", {})
        for key, value in text.items():
            data[key] = base64.b64encode(value.encode()).decode()


def prepare_for_update(new: Obj, old: Obj) -> None:
    """An update without a type keeps the type."""
    if not new.get("type") and old.get("type"):
        new["type"] = old["type"]


def selectable_fields(secret: Obj) -> Mapping[str, str]:
    return {"type": secret.get("type", "")}


STRATEGY = Strategy(
    default=default,
    prepare_for_update=prepare_for_update,
    selectable_fields=selectable_fields,
    selectable_field_names=("type",),
    has_status=False,
)
