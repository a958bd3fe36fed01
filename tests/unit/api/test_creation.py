"""The creator's fields in one pass are those that a comparison with nothing finds."""

import random
from typing import Any

import orjson
import pytest

from sagong.api.apply import managed
from sagong.api.apply.compute import compare
from sagong.api.apply.managed import Writer, record_update
from sagong.api.checking import check
from sagong.api.errors import BadRequest
from sagong.api.meta import deep_copy
from sagong.api.resources import ResourceTable
from sagong.api.schema import Kind, Node, Schemas
from sagong.api.types import Obj, Resource

SCHEMAS = Schemas.load()
RESOURCES = [r for r in ResourceTable() if SCHEMAS.of(r.group, r.version, r.kind) is not None]
SCALARS: dict[Kind, tuple[Any, ...]] = {
    Kind.STRING: ("", "a", "b"),
    Kind.INTEGER: (0, 1, 80),
    Kind.NUMBER: (0, 1.5),
    Kind.BOOLEAN: (True, False),
    Kind.QUANTITY: ("1", "10Mi"),
    Kind.INT_OR_STRING: (1, "80%"),
    Kind.TIME: ("2026-01-02T03:04:05Z",),
    Kind.MICRO_TIME: ("2026-01-02T03:04:05.000006Z",),
    Kind.BYTES: ("", "YQ=="),
    Kind.ANY: (None, {}, {"a": {"b": [1]}, "c": []}, [], "x", 1),
}


def random_value(node: Node, rng: random.Random, depth: int) -> Any:
    """Some value of a node; null and duplicate items among them."""
    if rng.random() < 0.05:
        return None
    if node.kind is Kind.OBJECT:
        names = sorted(node.fields)
        rng.shuffle(names)
        some = names[: rng.randint(0, 5 if depth else 2)]
        return {name: random_value(node.fields[name], rng, depth - 1) for name in some}
    if node.kind is Kind.MAP and node.element is not None:
        keys = ["k", "x/y", "z"][: rng.randint(0, 3)]
        return {key: random_value(node.element, rng, depth - 1) for key in keys}
    if node.kind is Kind.ARRAY and node.element is not None:
        count = rng.randint(0, 3 if depth > 0 else 1)
        return [random_value(node.element, rng, depth - 1) for _ in range(count)]
    return rng.choice(SCALARS.get(node.kind, ("x",)))


def random_object(resource: Resource, node: Node, rng: random.Random) -> Obj:
    obj = random_value(node, rng, 5) or {}
    metadata = {"name": "n", "namespace": "s", "labels": {"a": "b"}}
    obj |= {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    if rng.random() < 0.5:
        obj["metadata"] = random_value(node.fields["metadata"], rng, 3) or {}
        obj["metadata"].pop("managedFields", None)
    for name in list(node.fields):  # all of the top is there now and then
        if name not in obj and rng.random() < 0.5:
            obj[name] = random_value(node.fields[name], rng, 5)
    return {key: value for key, value in obj.items() if value is not None}


def compared(new: Obj, node: Node, writer: Writer) -> Obj:
    """The creator's fields, as an update's are found."""
    live = managed._empty(new, node)
    difference = compare(live, new, node).without_below(managed._ignored(node, writer))
    fields = (difference.added | difference.modified) - managed._NEVER_OWNED
    return fields.to_fields_v1()


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: f"{r.name}-{r.version}")
def test_agrees_with_a_comparison(resource: Resource) -> None:
    node = SCHEMAS.of(resource.group, resource.version, resource.kind)
    assert node is not None
    writer = Writer("m", resource.api_version, "2026-01-02T03:04:05Z")
    rng = random.Random(resource.name)
    seen = 0
    for _ in range(25):
        obj = random_object(resource, node, rng)
        if rng.random() < 0.7:
            try:
                check(obj, node)
            except BadRequest:
                continue
        before = deep_copy(obj)
        try:
            expected = compared(obj, node, writer)
        except ValueError:
            assert record_update(None, obj, node, writer) == []
            continue
        entries = record_update(None, obj, node, writer)
        found = entries[0]["fieldsV1"] if entries else {}
        # As bytes: the order counts as well.
        assert orjson.dumps(found) == orjson.dumps(expected)
        assert obj == before
        seen += bool(found)
    assert seen > 3 or "metadata" not in node.fields
