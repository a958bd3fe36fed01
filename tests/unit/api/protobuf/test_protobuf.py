"""Protobuf bodies: every field of every kind there and back, and frames as clients read them."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagong.api.protobuf.decoding import decode
from sagong.api.protobuf.encoding import Encoder
from sagong.api.protobuf.messages import BadProtobuf, Messages
from sagong.api.resources import BUILT_IN
from sagong.api.schema import Kind, Node, Schemas
from sagong.api.types import Obj, Resource

MESSAGES = Messages()
ENCODER = Encoder(MESSAGES)
SCHEMAS = Schemas.load()
KINDS = sorted({(r.group, r.version, r.kind) for r in BUILT_IN})
# Of each kind of value one that no zero value could stand in for.
VALUES: dict[Kind, Any] = {
    Kind.STRING: "text",
    Kind.INTEGER: -7,
    Kind.NUMBER: 0.5,
    Kind.BOOLEAN: True,
    Kind.QUANTITY: "5Mi",
    Kind.TIME: "2026-01-02T03:04:05Z",
    Kind.MICRO_TIME: "2026-01-02T03:04:05.678900Z",
    Kind.BYTES: "aGVsbG8=",
    Kind.ANY: {"any": ["thing", 1, None]},
}


def sample(node: Node, path: tuple[str, ...] = (), strings: bool = False) -> Any:
    """A value with every member set; what holds itself, once."""
    if node.kind is Kind.INT_OR_STRING:
        return "50%" if strings else 8080
    if node.kind in VALUES:
        return VALUES[node.kind]
    if node.kind is Kind.ARRAY:
        assert node.element is not None
        return [sample(node.element, path, strings)]
    if node.kind is Kind.MAP:
        assert node.element is not None
        return {"key": sample(node.element, path, strings)}
    if path.count(node.name) or len(path) > 40:
        return {}
    below = (*path, node.name)
    return {key: sample(field, below, strings) for key, field in (node.fields or {}).items()}


def pruned(value: Any) -> Any:
    """Without empty members, which a message cannot tell from absent ones."""
    if isinstance(value, dict):
        members = {k: pruned(v) for k, v in value.items()}
        return {k: v for k, v in members.items() if v not in ({}, [], [{}])}
    return [pruned(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("group", "version", "kind"), KINDS)
@pytest.mark.parametrize("strings", [False, True])
def test_every_field_of_every_kind_comes_back(
    group: str, version: str, kind: str, strings: bool
) -> None:
    node = SCHEMAS.of(group, version, kind)
    assert node is not None
    type_ = {"apiVersion": f"{group}/{version}" if group else version, "kind": kind}
    obj = {**sample(node, strings=strings), **type_}
    if kind == "CustomResourceDefinition":
        obj["spec"]["versions"][0]["schema"] = {}  # of many shapes, which examples try below
    for claim in obj["spec"].get("volumeClaimTemplates", ()) if kind == "StatefulSet" else ():
        del claim["apiVersion"], claim["kind"]  # as upstream's: only a body has a type
    seen = decode(ENCODER.body(obj), MESSAGES)
    assert pruned(seen) == pruned(obj)


CRD: Obj = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "a.b"},
    "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {}}}]},
}


@pytest.mark.parametrize(
    "schema",
    [
        {"items": {"type": "string"}, "type": "array"},
        {"additionalProperties": False},
        {"additionalProperties": True},
        {"default": {"a": [1, None, "x"]}, "enum": [1, "two", False]},
        {"x-kubernetes-list-map-keys": ["a"], "x-kubernetes-list-type": "map"},
        {"x-kubernetes-preserve-unknown-fields": True, "$ref": "#/x"},
        {"properties": {"a": {"maximum": 1.5, "maxLength": 3}}, "required": ["a"]},
        {"dependencies": {"a": ["b"], "c": {"type": "string"}}},
    ],
)
def test_schemas_of_definitions_come_back(schema: Obj) -> None:
    version = {"name": "v1", "schema": {"openAPIV3Schema": schema}}
    obj = {**CRD, "spec": {"versions": [version]}}
    assert decode(ENCODER.body(obj), MESSAGES) == obj


def test_a_schema_that_allows_members_of_a_type_says_so() -> None:
    version = {"schema": {"openAPIV3Schema": {"additionalProperties": {"type": "string"}}}}
    obj = {**CRD, "spec": {"versions": [version]}}
    assert decode(ENCODER.body(obj), MESSAGES) == obj


def test_explicit_zeros_are_kept_and_nulls_are_not() -> None:
    obj = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"creationTimestamp": None, "name": ""},
        "spec": {"replicas": 0, "paused": False},
    }
    seen = decode(ENCODER.body(obj), MESSAGES)
    assert seen["spec"] == {"replicas": 0, "paused": False}
    assert "creationTimestamp" not in seen["metadata"]


def test_known_bytes() -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}, "data": {"a": "b"}}
    assert ENCODER.body(obj) == (
        b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap"
        b"\x12\x0d\x0a\x03\x0a\x01n\x12\x06\x0a\x01a\x12\x01b\x1a\x00\x22\x00"
    )


def test_a_list_has_metadata_and_items_without_type() -> None:
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}}
    body = ENCODER.list_body(
        "v1", "ConfigMapList", {"resourceVersion": "7"}, [ENCODER.item(item), ENCODER.item(item)]
    )
    assert decode(body, MESSAGES) == {
        "apiVersion": "v1",
        "kind": "ConfigMapList",
        "metadata": {"resourceVersion": "7"},
        "items": [{"metadata": {"name": "n"}}] * 2,
    }


def test_a_watch_frame_is_its_length_and_an_event() -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n" * 300}}
    frame = ENCODER.watch_frame("ADDED", obj)
    (length,) = struct.unpack(">I", frame[:4])
    assert length == len(frame) - 4
    assert frame[4:11] == b"\x0a\x05ADDED"
    assert decode(frame[frame.index(b"k8s\0") :], MESSAGES) == obj


def test_what_pods_use_comes_back() -> None:
    usage = {"cpu": "7m", "memory": "5Mi"}
    obj = {
        "apiVersion": "metrics.k8s.io/v1beta1",
        "kind": "PodMetrics",
        "metadata": {"name": "p"},
        "timestamp": "2026-01-02T03:04:05Z",
        "window": "10.5s",
        "containers": [{"name": "c", "usage": usage}],
    }
    assert decode(ENCODER.body(obj), MESSAGES) == obj
    assert MESSAGES.has_kind("metrics.k8s.io/v1beta1", "NodeMetricsList")


def test_a_kind_without_message_is_refused() -> None:
    assert not MESSAGES.has_kind("example.com/v1", "Thing")
    with pytest.raises(BadProtobuf):
        ENCODER.body({"apiVersion": "example.com/v1", "kind": "Thing"})


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    raw = b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12" + bytes([len(data) & 0x7F]) + data
    try:
        decode(raw, MESSAGES)
    except ValueError:
        return


@pytest.mark.parametrize("resource", BUILT_IN, ids=lambda r: f"{r.name}.{r.version}")
def test_every_resource_has_messages(resource: Resource) -> None:
    MESSAGES.of_kind(resource.api_version, resource.kind)
    if "list" in resource.verbs:
        MESSAGES.of_kind(resource.api_version, resource.list_kind)
