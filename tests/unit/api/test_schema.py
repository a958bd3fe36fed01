"""Nodes compiled from the published definitions and from custom resources' schemas."""

import pytest

from sagong.api.schema import Kind, Schemas


def test_pod(schemas: Schemas) -> None:
    pod = schemas.of("", "v1", "Pod")
    assert pod is not None
    spec = pod.fields["spec"]
    containers = spec.fields["containers"]
    assert (containers.kind, containers.list_type) == (Kind.ARRAY, "map")
    assert containers.list_map_keys == ("name",)
    assert (containers.merge_key, containers.patch_strategies) == ("name", {"merge"})
    assert spec.fields["volumes"].patch_strategies == {"merge", "retainKeys"}
    container = containers.element
    assert container is not None
    assert container.type_name == "Container"
    ports = container.fields["ports"]
    assert ports.element is not None
    assert ports.element.key_defaults == {"protocol": "TCP"}
    limits = container.fields["resources"].fields["limits"]
    assert limits.element is not None
    assert limits.element.kind is Kind.QUANTITY
    assert pod.fields["metadata"].fields["creationTimestamp"].kind is Kind.TIME
    assert spec.fields["nodeSelector"].map_type == "atomic"


def test_attributes_of_a_field_are_its_own(schemas: Schemas) -> None:
    deployment = schemas.of("apps", "v1", "Deployment")
    assert deployment is not None
    strategy = deployment.fields["spec"].fields["strategy"]
    assert strategy.patch_strategies == {"retainKeys"}
    definition = schemas.definition("io.k8s.api.apps.v1.DeploymentStrategy")
    assert definition.patch_strategies == frozenset()
    assert strategy.fields is definition.fields


def test_every_definition_compiles(schemas: Schemas) -> None:
    kinds = list(schemas.kinds())
    assert len(kinds) > 150
    assert all(schemas.of(*kind) is not None for kind in kinds)
    assert schemas.of("", "v1", "Nope") is None


def test_published_form(schemas: Schemas) -> None:
    definitions = schemas.definitions()
    quantity = definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"]
    assert quantity["type"] == "string"
    assert "oneOf" not in quantity
    either = definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]
    assert (either["type"], either["format"]) == ("string", "int-or-string")
    pod = definitions["io.k8s.api.core.v1.Pod"]
    assert pod["type"] == "object"
    assert pod["properties"]["kind"].keys() == {"description", "type"}
    assert pod["properties"]["spec"]["$ref"] == "#/definitions/io.k8s.api.core.v1.PodSpec"
    for definition in definitions.values():
        assert isinstance(definition.get("type", ""), str)


def test_custom_resources(schemas: Schemas) -> None:
    node = schemas.from_crd_schema(
        {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "required": ["port"],
                    "properties": {
                        "port": {"x-kubernetes-int-or-string": True},
                        "template": {
                            "type": "object",
                            "x-kubernetes-embedded-resource": True,
                            "x-kubernetes-preserve-unknown-fields": True,
                        },
                        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                        "items": {
                            "type": "array",
                            "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["name", "zone"],
                            "items": {
                                "type": "object",
                                "properties": {
                                    "name": {"type": "string"},
                                    "zone": {"type": "string", "default": "a"},
                                },
                            },
                        },
                    },
                }
            },
        }
    )
    spec = node.fields["spec"]
    assert not spec.go
    assert spec.fields["port"].kind is Kind.INT_OR_STRING
    assert spec.fields["template"].preserve_unknown
    assert "metadata" in spec.fields["template"].fields
    assert spec.fields["labels"].kind is Kind.MAP
    items = spec.fields["items"]
    assert items.element is not None
    assert items.element.key_defaults == {"zone": "a"}
    assert node.fields["metadata"].type_name == "ObjectMeta"


@pytest.mark.parametrize("schema", [None, {}, {"x-kubernetes-preserve-unknown-fields": True}])
def test_anything_goes(schemas: Schemas, schema: dict[str, object] | None) -> None:
    node = schemas.from_crd_schema(schema)
    assert node.kind is Kind.OBJECT
    assert node.fields.keys() == {"apiVersion", "kind", "metadata"}
