"""One pass over decoded objects."""

from typing import Any

import pytest

from sagong.api.checking import check, check_configuration
from sagong.api.errors import BadRequest
from sagong.api.meta import deep_copy
from sagong.api.schema import Schemas

from .masks import unmasked


def pod(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": containers, **spec},
    }


def test_unknown_fields_are_dropped_and_named(schemas: Schemas) -> None:
    obj = pod(containers=[{"name": "c", "env": [{"name": "A", "bar": 1}], "baz": {}}], foo=1)
    obj["metadata"]["bogus"] = 1
    assert check(obj, schemas.of("", "v1", "Pod")) == [
        'unknown field "metadata.bogus"',
        'unknown field "spec.containers[0].env[0].bar"',
        'unknown field "spec.containers[0].baz"',
        'unknown field "spec.foo"',
    ]
    assert sorted(obj["spec"]) == ["containers"]
    assert obj["spec"]["containers"][0]["env"] == [{"name": "A"}]


def test_empty_values_vanish_and_structs_appear(schemas: Schemas) -> None:
    obj = pod(
        hostNetwork=False,
        nodeSelector={},
        securityContext={},
        terminationGracePeriodSeconds=0,
        tolerations=None,
        volumes=[{"name": "v", "emptyDir": {}}],
    )
    check(obj, schemas.of("", "v1", "Pod"))
    assert obj["spec"] == {
        "containers": [{"name": "c", "image": "i", "resources": {}}],
        "securityContext": {},
        "terminationGracePeriodSeconds": 0,
        "volumes": [{"name": "v", "emptyDir": {}}],
    }
    assert obj["status"] == {}


def test_a_configuration_is_left_as_it_is(schemas: Schemas) -> None:
    obj = pod(hostNetwork=False, nodeSelector=None, nope=1)
    check_configuration(obj, schemas.of("", "v1", "Pod"))
    assert obj == pod(hostNetwork=False, nodeSelector=None, nope=1)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hostNetwork", "x", "cannot unmarshal string into Go struct field "
         "PodSpec.spec.hostNetwork of type bool"),
        ("containers", {}, "cannot unmarshal object into Go struct field "
         "PodSpec.spec.containers of type []v1.Container"),
        ("containers", [{"name": 1}], "cannot unmarshal number into Go struct field "
         "Container.spec.containers.name of type string"),
        ("priority", 2**40, "cannot unmarshal number 1099511627776 into Go struct field "
         "PodSpec.spec.priority of type int32"),
        ("nodeSelector", "x", "of type map[string]string"),
        ("overhead", {"cpu": "1x"}, "quantities must match the regular expression"),
        ("overhead", [], "PodSpec.spec.overhead of type v1.ResourceList"),
    ],
)  # fmt: skip
def test_wrong_types(schemas: Schemas, field: str, value: Any, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check(pod(**{field: value}), schemas.of("", "v1", "Pod"))
    assert caught.value.message.startswith('Pod in version "v1" cannot be handled as a Pod: ')
    assert message in caught.value.message


def test_values_take_their_canonical_form(schemas: Schemas) -> None:
    obj = pod(overhead={"cpu": "1000m", "memory": 1.5})
    obj["metadata"]["creationTimestamp"] = "2026-01-01T02:00:00.5+02:00"
    check(obj, schemas.of("", "v1", "Pod"))
    assert obj["spec"]["overhead"] == {"cpu": "1", "memory": "1500m"}
    assert obj["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("bad", ["yesterday", "2026-13-01T00:00:00Z", "2026-01-01", 5])
def test_bad_times(schemas: Schemas, bad: Any) -> None:
    obj = pod()
    obj["metadata"]["creationTimestamp"] = bad
    with pytest.raises(BadRequest):
        check(obj, schemas.of("", "v1", "Pod"))


def test_base64(schemas: Schemas) -> None:
    def secret(data: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": {"a": data}}

    node = schemas.of("", "v1", "Secret")
    check(secret("YQ=="), node)
    for bad in ("YQ", "Y!==", "="):
        with pytest.raises(BadRequest, match="illegal base64 data at input byte"):
            check(secret(bad), node)


def test_custom_resources_are_pruned_and_left_alone(schemas: Schemas) -> None:
    node = schemas.from_crd_schema(
        {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": {
                        "n": {"type": "integer"},
                        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        "list": {"type": "array", "items": {"type": "object", "properties": {}}},
                    },
                }
            },
        }
    )
    obj = {
        "apiVersion": "e/v1",
        "kind": "E",
        "metadata": {"name": "x", "labels": {}, "odd": 1},
        "spec": {"n": "wrong", "any": {"a": []}, "list": [{"x": 1}], "gone": 1},
    }
    assert sorted(check(obj, node)) == [
        'unknown field "metadata.odd"',
        'unknown field "spec.gone"',
        'unknown field "spec.list[0].x"',
    ]
    assert obj["spec"] == {"n": "wrong", "any": {"a": []}, "list": [{}]}
    anything = deep_copy(obj)
    assert check(anything, schemas.schemaless()) == []
    assert anything == obj


def test_genuine_answers_stay_as_they_are(schemas: Schemas, recorded: dict[str, Any]) -> None:
    answers = [e["answer"]["body"] for e in recorded["defaults"]]
    answers += [o for objs in recorded["bootstrap"].values() for o in objs if isinstance(o, dict)]
    seen = 0
    for answer in map(unmasked, answers):
        if answer.get("kind", "Status") == "Status" or "apiVersion" not in answer:
            continue
        group, _, version = answer["apiVersion"].rpartition("/")
        node = schemas.of(group, version, answer["kind"])
        assert node is not None
        checked = deep_copy(answer)
        assert check(checked, node) == []
        assert checked == answer
        seen += 1
    assert seen > 20
