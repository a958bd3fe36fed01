"""A configuration merged into a live object (structured-merge-diff's ``Merge``)."""

from typing import Any

from sagong.api.apply.compute import (
    ABSENT,
    UNKNOWN,
    child_node,
    is_associative,
    is_granular_map,
    item_element,
)
from sagong.api.schema import Node


def merge(live: Any, applied: Any, node: Node) -> Any:
    """The live value with what the configuration says; neither input is changed."""
    if applied is ABSENT:
        return live
    if live is ABSENT:
        return applied
    if is_associative(node) and isinstance(applied, list) and isinstance(live, list):
        return _merge_items(live, applied, node)
    if is_granular_map(node, applied) and isinstance(applied, dict) and isinstance(live, dict):
        merged = dict(live)
        for name, value in applied.items():
            merged[name] = merge(live.get(name, ABSENT), value, child_node(node, name))
        return merged
    return applied


def _merge_items(live: list[Any], applied: list[Any], node: Node) -> list[Any]:
    """Items by key: those of both lists in the applied order, the others where they stood."""
    element = node.element or UNKNOWN
    live_keys = [item_element(node, item) for item in live]
    applied_keys = [item_element(node, item) for item in applied]
    mine: dict[str, Any] = {}
    for key, item in zip(live_keys, live, strict=True):
        mine[key] = ABSENT if key in mine else item
    theirs = dict(zip(applied_keys, applied, strict=True))
    merged: list[Any] = []
    done: set[str] = set()
    shared = [key for key in applied_keys if key in mine]
    left = right = following = 0
    while left < len(live) or right < len(applied):
        if left < len(live):
            key = live_keys[left]
            if key not in theirs:
                merged.append(live[left])
                left += 1
                continue
            wanted = shared[following] if following < len(shared) else None
            if key in done or (right < len(applied) and key != wanted):
                left += 1  # taken already, or to be taken when its turn comes
                continue
        if right < len(applied):
            key = applied_keys[right]
            merged.append(merge(mine.get(key, ABSENT), theirs[key], element))
            done.add(key)
            right += 1
            following += key in mine
        else:
            left += 1
    return merged
