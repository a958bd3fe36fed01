"""Limit ranges."""

from sagong.api.types import Obj
from sagong.server.kinds.core.limit_range_validation import validate_limit_range
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    """For containers: max gives default; default, then min, give defaultRequest."""
    for item in obj.setdefault("spec", {}).get("limits") or ():
        if item.get("type") == "Container":
            _default_item(item)


def _default_item(item: Obj) -> None:
    limits = {**(item.get("max") or {}), **(item.get("default") or {})}
    requests = {**limits, **(item.get("defaultRequest") or {})}
    requests = {**(item.get("min") or {}), **requests}
    if limits:
        item["default"] = limits
    if requests:
        item["defaultRequest"] = requests


STRATEGY = Strategy(
    validate=validate_limit_range, default=default, has_status=False, create_on_update=True
)
