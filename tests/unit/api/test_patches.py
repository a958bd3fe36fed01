"""JSON Patch, JSON merge patch and strategic merge patch."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagong.api.errors import ApiError, BadRequest, Invalid, RequestEntityTooLarge
from sagong.api.meta import deep_copy
from sagong.api.patches.json_patch import OPERATIONS_MAX, apply_json_patch
from sagong.api.patches.merge import apply_merge_patch
from sagong.api.patches.strategic import apply_strategic_patch
from sagong.api.schema import Node, Schemas

DOC = {"a": {"b": [1, 2, 3]}, "c/d": "x", "n": None}


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/a/e", "value": 1}], {"a": {"b": [1, 2, 3], "e": 1}}),
        ([{"op": "add", "path": "/a/b/-", "value": 4}], {"a": {"b": [1, 2, 3, 4]}}),
        ([{"op": "add", "path": "/a/b/1", "value": 9}], {"a": {"b": [1, 9, 2, 3]}}),
        ([{"op": "remove", "path": "/a/b/-1"}], {"a": {"b": [1, 2]}}),
        ([{"op": "replace", "path": "/c~1d", "value": "y"}], {"c/d": "y"}),
        ([{"op": "move", "from": "/a/b", "path": "/b"}], {"a": {}, "b": [1, 2, 3]}),
        ([{"op": "copy", "from": "/a/b/0", "path": "/f"}], {"f": 1}),
        ([{"op": "test", "path": "/a/b", "value": [1, 2, 3]}], {}),
        ([{"op": "test", "path": "/nope", "value": None}], {}),
        ([], {}),
    ],
)
def test_json_patch(operations: list[Any], expected: dict[str, Any]) -> None:
    before = deep_copy(DOC)
    assert apply_json_patch(DOC, operations) == DOC | expected
    assert before == DOC


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/nope"},
        {"op": "replace", "path": "/nope", "value": 1},
        {"op": "add", "path": "/a/b/4", "value": 1},
        {"op": "add", "path": "/no/pe", "value": 1},
        {"op": "add", "path": "/a/b/x", "value": 1},
        {"op": "add", "path": "/e"},
        {"op": "add", "path": "", "value": {}},
        {"op": "test", "path": "/a/b/0", "value": True},
        {"op": "test", "path": "/c~1d", "value": "y"},
        {"op": "copy", "path": "/x"},
        {"op": "nope", "path": "/a"},
        {"path": "/a"},
        {},
    ],
)
def test_json_patch_that_does_not_apply(operation: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        apply_json_patch(DOC, [operation])
    assert caught.value.status()["details"] == {}
    assert caught.value.message.startswith("the server rejected our request due to an error")


def test_json_patch_is_bounded() -> None:
    with pytest.raises(BadRequest):
        apply_json_patch(DOC, {"op": "add"})
    test = {"op": "test", "path": "/x", "value": None}
    with pytest.raises(RequestEntityTooLarge, match="JSON patch is 10000, got 10001"):
        apply_json_patch(DOC, [test] * (OPERATIONS_MAX + 1))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner),
    max_leaves=12,
)
documents = st.dictionaries(st.sampled_from("abcd"), json_values)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return value


@given(documents, documents)
def test_merge_patch_laws(doc: dict[str, Any], patch: dict[str, Any]) -> None:
    before = deep_copy([doc, patch])
    once = apply_merge_patch(doc, patch)
    assert apply_merge_patch(once, patch) == once, "a patch is idempotent"
    assert apply_merge_patch(doc, {}) == doc, "nothing changes nothing"
    assert apply_merge_patch({}, patch) == without_nulls(patch)
    assert [doc, patch] == before, "inputs stay"


@given(documents, documents)
def test_merge_patch_turns_one_into_another(old: dict[str, Any], new: dict[str, Any]) -> None:
    new = without_nulls(new)
    assert apply_merge_patch(old, difference(old, new)) == new


def difference(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    gone: dict[str, Any] = dict.fromkeys(old.keys() - new.keys())
    return gone | {k: difference(old.get(k), v) for k, v in new.items()}


def test_merge_patch_must_be_an_object() -> None:
    with pytest.raises(BadRequest, match="Invalid JSON Patch"):
        apply_merge_patch(DOC, [])


def spec(**more: Any) -> dict[str, Any]:
    return {
        "containers": [
            {"name": "a", "image": "1", "ports": [{"containerPort": 1, "name": "p"}]},
            {"name": "b", "image": "2"},
        ],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "tolerations": [{"key": "x"}],
        "nodeSelector": {"k": "v"},
        **more,
    }


@pytest.fixture
def pod(schemas: Schemas) -> Node:
    node = schemas.of("", "v1", "Pod")
    assert node is not None
    return node


A, B = spec()["containers"]


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"containers": [{"name": "a", "image": "9"}]}, {"containers": [A | {"image": "9"}, B]}),
        ({"containers": [{"name": "c", "image": "9"}]},
         {"containers": [{"name": "c", "image": "9"}, A, B]}),
        ({"containers": [{"name": "a", "$patch": "delete"}]}, {"containers": [B]}),
        ({"containers": [{"$patch": "replace"}, {"name": "z"}]}, {"containers": [{"name": "z"}]}),
        ({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}, {"containers": [B, A]}),
        ({"$setElementOrder/containers": [{"name": "a"}, {"name": "c"}],
          "containers": [{"name": "c"}]}, {"containers": [A, {"name": "c"}, B]}),
        ({"containers": [{"name": "a", "ports": [{"containerPort": 2}]}]},
         {"containers": [A | {"ports": [{"containerPort": 2}, *A["ports"]]}, B]}),
        ({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"],
                       "hostPath": {"path": "/"}}]},
         {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
        ({"tolerations": [{"key": "y"}]}, {"tolerations": [{"key": "y"}]}),
        ({"nodeSelector": {"k": None, "l": "w"}}, {"nodeSelector": {"l": "w"}}),
        ({"nodeSelector": {"$patch": "replace", "l": "w"}}, {"nodeSelector": {"l": "w"}}),
        ({"nodeSelector": {"$patch": "delete"}}, {"nodeSelector": {}}),
        ({"dnsConfig": {"options": [{"name": "o", "value": None}], "$patch": "replace"}},
         {"dnsConfig": {"options": [{"name": "o"}]}}),
    ],
)  # fmt: skip
def test_strategic_patch(pod: Node, patch: dict[str, Any], expected: dict[str, Any]) -> None:
    doc = {"spec": spec()}
    assert apply_strategic_patch(doc, {"spec": patch}, pod) == {"spec": spec() | expected}
    assert doc == {"spec": spec()}


def test_strategic_patch_of_primitive_lists(pod: Node) -> None:
    doc = {"metadata": {"finalizers": ["a", "b", "c"]}}

    def patched(patch: dict[str, Any]) -> list[str]:
        result = apply_strategic_patch(doc, {"metadata": patch}, pod)
        finalizers: list[str] = result["metadata"]["finalizers"]
        return finalizers

    assert sorted(patched({"finalizers": ["d", "a"]})) == ["a", "b", "c", "d"]
    assert patched({"$deleteFromPrimitiveList/finalizers": ["b"]}) == ["a", "c"]
    ordered = {"$setElementOrder/finalizers": ["c", "a"]}
    assert patched(ordered | {"$deleteFromPrimitiveList/finalizers": ["b"]}) == ["c", "a"]


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ({"containers": [{"image": "x"}]}, 500,
         "map: map[image:x] does not contain declared merge key: name"),
        ({"containers": [{"$patch": "delete"}]}, 500, "does not contain declared merge key"),
        ({"nodeSelector": {"$patch": "merge"}}, 500, "unknown patch type: merge in map"),
        ({"volumes": [{"name": "v", "$retainKeys": ["name"], "hostPath": {}}]}, 400,
         "invalid patch format of retainKeys"),
        ({"$setElementOrder/containers": {}}, 400, "invalid patch format of setElementOrder list"),
        ({"$deleteFromPrimitiveList/x": {}}, 400, "invalid patch format of primitive list"),
    ],
)  # fmt: skip
def test_bad_strategic_patches(pod: Node, patch: dict[str, Any], code: int, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        apply_strategic_patch({"spec": spec()}, {"spec": patch}, pod)
    assert caught.value.http_code == code
    assert message in caught.value.message


def test_an_object_patched_with_itself_is_itself(pod: Node) -> None:
    doc = {"metadata": {"labels": {"a": "b"}, "finalizers": ["x", "y"]}, "spec": spec()}
    assert apply_strategic_patch(doc, doc, pod) == doc
    assert apply_strategic_patch(doc, {}, pod) == doc


@given(documents, documents)
def test_without_a_schema_it_is_a_merge_patch(doc: dict[str, Any], patch: dict[str, Any]) -> None:
    merged = apply_strategic_patch(doc, patch, None)
    assert without_nulls_deep(merged) == without_nulls_deep(apply_merge_patch(doc, patch))


def without_nulls_deep(value: Any) -> Any:
    if isinstance(value, list):
        return [without_nulls_deep(item) for item in value]
    if isinstance(value, dict):
        return {k: without_nulls_deep(v) for k, v in value.items() if v is not None}
    return value
