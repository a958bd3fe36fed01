"""The events of an in-place resize: taken up, carried out, put off, refused, failed. Pure."""

from collections.abc import Iterator

import orjson

from sagong.api.types import Obj
from sagong.node.pods.model import Allocation
from sagong.node.pods.resize import INHERITED, LEVEL, is_in_progress, resizable


def between(pod: Obj, old: Allocation, new: Allocation) -> Iterator[tuple[str, str, str]]:
    """Type, reason and message of what has happened between two states of an allocation."""
    if new.pending is not None and new.pending != old.pending:
        reason = new.pending.reason
        text = f"Pod resize {reason}: {_described(pod, new, new.pending.message)}"
        yield "Warning", f"Resize{reason}", text
    if new.allocated != old.allocated:
        yield "Normal", "ResizeStarted", f"Pod resize started: {_described(pod, new)}"
    if new.error and new.error != old.error:
        text = f"Pod resize error: {_described(pod, new, new.error)}"
        yield "Warning", "ResizeError", text
    was_under_way = is_in_progress(old) or new.allocated != old.allocated
    if was_under_way and not is_in_progress(new):
        yield "Normal", "ResizeCompleted", f"Pod resize completed: {_described(pod, new)}"


def _described(pod: Obj, allocation: Allocation, error: str = "") -> str:
    containers = [
        {"name": container["name"], "resources": _own(allocation, container["name"])}
        for _, container in resizable(pod)
    ]
    facts: Obj = {"containers": containers}
    if LEVEL in allocation.allocated:
        facts["resources"] = _own(allocation, LEVEL)
    facts["generation"] = pod["metadata"].get("generation", 0)
    if error:
        facts["error"] = error
    return orjson.dumps(facts).decode()


def _own(allocation: Allocation, name: str) -> Obj:
    return {k: v for k, v in allocation.allocated.get(name, {}).items() if k != INHERITED}
