"""What a mutation gives, applied to an object: JSON-patch operations, or a configuration. Pure.

Source of semantics: apiserver's ``pkg/admission/plugin/policy/mutating/patch``.
"""

from collections.abc import Iterator
from typing import Any

from sagong.api.apply.compute import UNKNOWN, is_associative, is_granular_map, type_problems
from sagong.api.apply.merging import merge
from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.mutation_types import ROOT, to_json
from sagong.api.decode import check
from sagong.api.errors import ApiError
from sagong.api.meta import deep_copy
from sagong.api.patches.json_patch import TestFailed, apply_json_patch
from sagong.api.schema import Kind, Node
from sagong.api.types import Obj
from sagong.server.admission.policies.evaluating import Failed


def mutated(obj: Obj, value: Any, *, is_patch: bool, node: Node | None) -> Obj:
    """The object after a mutation; ``obj`` is not changed. Raises Failed."""
    try:
        changed = _patched(obj, value) if is_patch else _merged(obj, value, node or UNKNOWN)
        copied: Obj = deep_copy(changed)
        if node is not None and copied.get("kind") == obj.get("kind"):
            strays = check(copied, node)
            if strays:
                raise Failed(f"strict decoding error: {', '.join(strays)}")
    except (EvaluationError, ValueError) as error:
        raise Failed(str(error)) from None
    except ApiError as error:
        raise Failed(error.message) from None
    return copied


def _patched(obj: Obj, value: Any) -> Obj:
    operations = []
    for made in value:
        operation = to_json(made)
        if operation.get("op") not in ("add", "remove", "replace", "move", "copy", "test"):
            raise Failed(f"JSON Patch: unexpected operation {operation.get('op')!r}")
        operations.append(operation)
    try:
        patched: Obj = apply_json_patch(obj, operations)
    except TestFailed:
        return obj  # the patch was not meant for this object
    except ApiError as error:
        raise Failed(f"JSONPath: {error.message}") from None
    return patched


def _merged(obj: Obj, value: Any, node: Node) -> Obj:
    try:
        configuration = to_json(value, ROOT)
    except EvaluationError as error:
        raise Failed(f"type mismatch: {error}") from None
    problems = list(type_problems(configuration, node))
    if problems:
        why = "failed to convert patch object to typed object"
        raise Failed(f"error applying patch: {why}: {'; '.join(problems)}")
    atomic = list(_atomic(configuration, node, ""))
    if atomic:
        raise Failed(
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps "
            f"or structs: {', '.join(atomic)}"
        )
    merged: Obj = merge(obj, configuration, node)
    return merged


def _atomic(value: Any, node: Node, path: str) -> Iterator[str]:
    """Paths of what could only be replaced as a whole."""
    if isinstance(value, list):
        if not is_associative(node):
            yield path
            return
        for i, item in enumerate(value):
            yield from _atomic(item, node.element or UNKNOWN, f"{path}[{i}]")
    elif isinstance(value, dict):
        if node.kind in (Kind.OBJECT, Kind.MAP) and not is_granular_map(node, value):
            yield path
            return
        for name, item in value.items():
            yield from _atomic(item, node.field(name) or UNKNOWN, f"{path}.{name}")
