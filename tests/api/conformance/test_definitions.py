"""Custom resource definitions and what they define, as Kubernetes' conformance suite tries them."""

import asyncio
import copy
import json
import re
from typing import Any

import pytest
from rest import Api, Kubectl

pytestmark = pytest.mark.asyncio(loop_scope="module")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
COUNT = iter(range(10000))
GVK = "x-kubernetes-group-version-kind"


def crd(schema: dict[str, Any], *versions: str, group: str = "", **spec: Any) -> dict[str, Any]:
    """A definition with names of its own; the first version is stored."""
    number = next(COUNT)
    group = group or f"g{number}.example.com"
    plural, kind = f"things{number}", f"Thing{number}"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "labels": {"made-by": f"test-{number}"}},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {
                "plural": plural,
                "singular": kind.lower(),
                "kind": kind,
                "listKind": f"{kind}List",
            },
            "versions": [
                {
                    "name": name,
                    "served": True,
                    "storage": name == versions[0],
                    "schema": {"openAPIV3Schema": schema},
                }
                for name in versions
            ],
            **spec,
        },
    }


def path_of(definition: dict[str, Any], version: str = "v1") -> str:
    spec = definition["spec"]
    return f"/apis/{spec['group']}/{version}/{spec['names']['plural']}"


def named(definition: dict[str, Any], version: str) -> str:
    """Under which name a kind is published."""
    spec = definition["spec"]
    return ".".join([*reversed(spec["group"].split(".")), version, spec["names"]["kind"]])


def thing(definition: dict[str, Any], name: str, **fields: Any) -> dict[str, Any]:
    spec = definition["spec"]
    return {
        "apiVersion": f"{spec['group']}/{spec['versions'][0]['name']}",
        "kind": spec["names"]["kind"],
        "metadata": {"name": name},
        **fields,
    }


async def make(api: Api, path: str, obj: Any) -> Any:
    answer = await api.call("POST", path, obj)
    assert answer.status == 201, answer.text
    return answer.body


async def established(api: Api, definition: dict[str, Any]) -> Any:
    await make(api, CRDS, definition)
    async with asyncio.timeout(10):
        while True:
            found = (await api.call("GET", f"{CRDS}/{definition['metadata']['name']}")).body
            conditions = {c["type"]: c["status"] for c in found["status"].get("conditions") or ()}
            if conditions.get("Established") == "True":
                return found
            await asyncio.sleep(0.02)


# The definitions themselves


async def test_a_definition_comes_and_goes(api: Api) -> None:
    definition = crd(ANYTHING, "v1")
    found = await established(api, definition)
    assert found["spec"]["names"]["kind"] == definition["spec"]["names"]["kind"]
    assert (await api.call("GET", path_of(definition))).status == 200
    path = f"{CRDS}/{definition['metadata']['name']}"
    assert (await api.call("DELETE", path)).status == 200
    async with asyncio.timeout(10):
        while (await api.call("GET", path)).status != 404:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert (await api.call("GET", path_of(definition))).status == 404


async def test_definitions_are_listed_and_deleted_together(api: Api) -> None:
    label = {"made-by": "list-of-definitions"}
    made = [crd(ANYTHING, "v1") for _ in range(5)]
    for definition in made:
        definition["metadata"]["labels"] = label
        await established(api, definition)
    path = f"{CRDS}?labelSelector=made-by%3Dlist-of-definitions"
    listed = (await api.call("GET", path)).body["items"]
    assert {o["metadata"]["name"] for o in listed} == {o["metadata"]["name"] for o in made}
    assert (await api.call("DELETE", path)).status == 200
    async with asyncio.timeout(10):
        while (await api.call("GET", path)).body["items"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_the_status_of_a_definition_is_written(api: Api) -> None:
    definition = crd(ANYTHING, "v1")
    await established(api, definition)
    path = f"{CRDS}/{definition['metadata']['name']}"
    found = (await api.call("GET", f"{path}/status")).body
    condition = {
        "type": "StatusUpdate",
        "status": "True",
        "reason": "E2E",
        "message": "Set by an e2e test",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    found["status"]["conditions"].append(condition)
    updated = await api.call("PUT", f"{path}/status", found)
    assert updated.status == 200
    assert condition in updated.body["status"]["conditions"]
    patch = {"metadata": {"annotations": {"a": "b"}}, "status": {"conditions": [condition]}}
    patched = await api.call("PATCH", f"{path}/status", patch, headers=MERGE)
    assert patched.body["status"]["conditions"][0] == condition
    found = (await api.call("GET", path)).body
    assert condition in found["status"]["conditions"]
    assert (await api.call("GET", path_of(definition))).status == 200


async def test_discovery_has_definitions(api: Api) -> None:
    names = {g["name"]: g for g in (await api.call("GET", "/apis")).body["groups"]}
    group = names["apiextensions.k8s.io"]
    version = {"groupVersion": "apiextensions.k8s.io/v1", "version": "v1"}
    assert version in group["versions"]
    assert (await api.call("GET", "/apis/apiextensions.k8s.io")).body["versions"] == [version]
    listing = (await api.call("GET", "/apis/apiextensions.k8s.io/v1")).body["resources"]
    assert "customresourcedefinitions" in [r["name"] for r in listing]


async def test_objects_are_watched(api: Api) -> None:
    definition = crd(ANYTHING, "v1")
    await established(api, definition)
    path = path_of(definition)
    version = (await api.call("GET", path)).body["metadata"]["resourceVersion"]
    headers = {"Authorization": "Bearer admin-token"}
    watches = []
    for name in ("a", "b"):
        query = f"?watch=1&resourceVersion={version}&fieldSelector=metadata.name%3D{name}"
        watches.append(await api.session.get(api.url + path + query, headers=headers, ssl=False))
    for name in ("a", "b"):
        await make(api, path, thing(definition, name))
    for name in ("a", "b"):
        await api.call("DELETE", f"{path}/{name}")
    async with asyncio.timeout(10):
        for name, watch in zip(("a", "b"), watches, strict=True):
            events = [json.loads(await watch.content.readline()) for _ in range(2)]
            assert [e["type"] for e in events] == ["ADDED", "DELETED"]
            assert {e["object"]["metadata"]["name"] for e in events} == {name}
            watch.close()


async def test_defaults_come_with_requests_and_from_storage(api: Api) -> None:
    definition = crd({"type": "object", "properties": {"a": {"type": "string"}}}, "v1")
    await established(api, definition)
    path = path_of(definition)
    early = await make(api, path, thing(definition, "early"))
    assert "a" not in early
    schema = {"type": "object", "properties": {"a": {"type": "string", "default": "A"}}}
    operations = [
        {"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema}
    ]
    name = definition["metadata"]["name"]
    assert (await api.call("PATCH", f"{CRDS}/{name}", operations, headers=JSON_PATCH)).status == 200
    # From storage, and with requests.
    assert (await api.call("GET", f"{path}/early")).body["a"] == "A"
    assert (await make(api, path, thing(definition, "late")))["a"] == "A"
    # A default that was given to an object stays with it when the default goes; the other goes.
    schema["properties"]["a"].pop("default")
    schema["properties"]["b"] = {"type": "string", "default": "B"}
    await api.call("PATCH", f"{CRDS}/{name}", operations, headers=JSON_PATCH)
    late = (await api.call("GET", f"{path}/late")).body
    early = (await api.call("GET", f"{path}/early")).body
    assert (late["a"], late["b"]) == ("A", "B")
    assert (early.get("a"), early["b"]) == (None, "B")


# Aggregated discovery


async def test_aggregated_discovery_has_custom_resources(api: Api) -> None:
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    made = [crd(ANYTHING, "v1") for _ in range(3)]
    for definition in made:
        await established(api, definition)
    answer = await api.call("GET", "/apis", headers=accept)
    assert answer.headers["Content-Type"] == accept["Accept"]
    groups = {item["metadata"].get("name"): item for item in answer.body["items"]}
    for definition in made:
        (version,) = groups[definition["spec"]["group"]]["versions"]
        assert (version["version"], version["freshness"]) == ("v1", "Current")
        (resource,) = version["resources"]
        names = definition["spec"]["names"]
        assert resource["resource"] == names["plural"]
        assert resource["responseKind"] == {
            "group": definition["spec"]["group"],
            "version": "v1",
            "kind": names["kind"],
        }
        assert resource["scope"] == "Cluster"
    # A group that goes is gone from discovery as well.
    gone = made[0]
    await api.call("DELETE", f"{CRDS}/{gone['metadata']['name']}")
    async with asyncio.timeout(10):
        while gone["spec"]["group"] in groups:
            items = (await api.call("GET", "/apis", headers=accept)).body["items"]
            groups = {item["metadata"].get("name"): item for item in items}


# OpenAPI

FOO: dict[str, Any] = {
    "description": "Foo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "description": "Specification of Foo",
            "properties": {
                "bars": {
                    "description": "List of Bars and their specs.",
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"description": "Name of Bar.", "type": "string"},
                            "age": {"description": "Age of Bar.", "type": "string"},
                            "feeling": {"type": "string", "enum": ["Great", "Down"]},
                            "bazs": {
                                "description": "List of Bazs.",
                                "items": {"type": "string"},
                                "type": "array",
                            },
                        },
                    },
                },
            },
        },
        "status": {
            "description": "Status of Foo",
            "type": "object",
            "properties": {
                "bars": {
                    "description": "List of Bars and their statuses.",
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"available": {"type": "boolean"}},
                    },
                }
            },
        },
    },
}
WALDO: dict[str, Any] = {
    "description": "Waldo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "description": "Specification of Waldo",
            "type": "object",
            "properties": {
                "dummy": {"description": "Dummy property.", "type": "object"},
            },
        },
        "status": {"description": "Status of Waldo", "type": "object"},
    },
}
PRESERVED_AT_ROOT = {
    "description": "preserve-unknown-properties at root for Testing",
    **ANYTHING,
    "properties": {"spec": {"type": "object", "properties": {"dummy": {"type": "object"}}}},
}
PRESERVED_WITHIN = {
    "description": "preserve-unknown-properties in nested field for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "description": "Specification of Waldo",
            **ANYTHING,
            "properties": {"dummy": {"type": "object"}},
        }
    },
}


async def published(api: Api, name: str) -> dict[str, Any] | None:
    """A definition in the v2 document without what every kind has."""
    document = (await api.call("GET", "/openapi/v2")).body
    found: dict[str, Any] | None = copy.deepcopy(document["definitions"].get(name))
    if found is None:
        return None
    for field in ("apiVersion", "kind", "metadata"):
        found.get("properties", {}).pop(field, None)
    del found[GVK]
    return found


async def lives_and_dies(kubectl: Kubectl, obj: dict[str, Any]) -> None:
    """kubectl creates, applies and deletes it, with validation."""
    text, plural = json.dumps(obj), obj["kind"].lower()
    for verb in ("create", "apply"):
        await kubectl(verb, "-f", "-", stdin=text)
        await kubectl("delete", plural, obj["metadata"]["name"], "--wait=false")


async def test_a_schema_is_published(api: Api, kubectl: Kubectl) -> None:
    definition = crd(FOO, "v1")
    await established(api, definition)
    assert await published(api, named(definition, "v1")) == FOO
    await lives_and_dies(
        kubectl, thing(definition, "test-foo", spec={"bars": [{"name": "test-bar"}]})
    )
    plural = definition["spec"]["names"]["plural"]

    async def refused(spec: Any, text: str) -> None:
        obj = json.dumps(thing(definition, "test-foo", spec=spec))
        for verb in ("create", "apply"):
            assert text in await kubectl(verb, "-f", "-", stdin=obj, fails=True)

    await refused({"foo": True}, 'unknown field "spec.foo"')
    await refused({"bars": [{"age": "10"}]}, "spec.bars[0].name: Required value")
    await refused({"bars": [{"name": "x", "feeling": "Odd"}]}, 'Unsupported value: "Odd"')

    async def explained(what: str, pattern: str) -> None:
        assert re.search(pattern, await kubectl("explain", what), re.DOTALL)

    await explained(
        plural,
        "DESCRIPTION:.*Foo CRD for Testing.*FIELDS:.*apiVersion.*<string>.*APIVersion defines"
        ".*spec.*<Object>.*Specification of Foo",
    )
    await explained(
        f"{plural}.metadata",
        "DESCRIPTION:.*Standard object's metadata.*FIELDS:.*creationTimestamp.*<string>"
        ".*CreationTimestamp is a timestamp",
    )
    await explained(
        f"{plural}.spec",
        r"DESCRIPTION:.*Specification of Foo.*FIELDS:.*bars.*<\[\]Object>.*List of Bars and their",
    )
    await explained(
        f"{plural}.spec.bars",
        r"FIELD: bars <\[\]Object>.*DESCRIPTION:.*List of Bars and their specs.*FIELDS:.*bazs"
        r".*<\[\]string>.*List of Bazs.*name.*<string>.*Name of Bar",
    )
    error = await kubectl("explain", f"{plural}.spec.bars2", fails=True)
    assert 'field "bars2" does not exist' in error


@pytest.mark.parametrize(
    ("schema", "shown", "fields", "explanation"),
    [
        (ANYTHING, {"type": "object"}, {"a": {"b": [{"c": "d"}]}}, "DESCRIPTION:.*<empty>"),
        (PRESERVED_AT_ROOT, {"type": "object"}, {"a": {"b": [{"c": "d"}]}}, "KIND: +Thing"),
        (
            PRESERVED_WITHIN,
            None,
            {"spec": {"a": None, "b": [{"c": "d"}]}},
            "preserve-unknown-properties in nested field for Testing",
        ),
    ],
    ids=["none", "at the root", "within"],
)
async def test_schemas_that_keep_unknown_fields(
    api: Api, kubectl: Kubectl, schema: Any, shown: Any, fields: Any, explanation: str
) -> None:
    definition = crd(schema, "v1")
    await established(api, definition)
    found = await published(api, named(definition, "v1"))
    assert found is not None
    assert shown is None or found == shown
    await lives_and_dies(kubectl, thing(definition, "test-cr", **fields))
    plural = definition["spec"]["names"]["plural"]
    assert re.search(explanation, await kubectl("explain", plural), re.DOTALL)


async def test_schemas_of_several_definitions_are_published(api: Api) -> None:
    """Of different groups, of different versions, and of different kinds of one version."""
    shared = f"shared{next(COUNT)}.example.com"
    made = [
        (crd(FOO, "v1"), {"v1": FOO}),
        (crd(WALDO, "v1beta1"), {"v1beta1": WALDO}),
        (crd(FOO, "v2", "v3"), {"v2": FOO, "v3": FOO}),
        (crd(FOO, "v4", group=shared), {"v4": FOO}),
        (crd(WALDO, "v5", group=shared), {"v5": WALDO}),
        (crd(FOO, "v6", group=shared), {"v6": FOO}),
        (crd(WALDO, "v6", group=shared), {"v6": WALDO}),
    ]
    for definition, _ in made:
        await established(api, definition)
    for definition, versions in made:
        for version, schema in versions.items():
            assert await published(api, named(definition, version)) == schema
    index = (await api.call("GET", "/openapi/v3")).body["paths"]
    url = index[f"apis/{shared}/v6"]["serverRelativeURL"]
    schemas = (await api.call("GET", url)).body["components"]["schemas"]
    assert {named(made[5][0], "v6"), named(made[6][0], "v6")} <= schemas.keys()


async def test_a_version_that_is_renamed_is_published_anew(api: Api) -> None:
    definition = crd(FOO, "v2", "v3")
    await established(api, definition)
    operations = [
        {"op": "test", "path": "/spec/versions/1/name", "value": "v3"},
        {"op": "replace", "path": "/spec/versions/1/name", "value": "v4"},
    ]
    path = f"{CRDS}/{definition['metadata']['name']}"
    assert (await api.call("PATCH", path, operations, headers=JSON_PATCH)).status == 200
    assert await published(api, named(definition, "v4")) == FOO
    assert await published(api, named(definition, "v3")) is None
    assert await published(api, named(definition, "v2")) == FOO


async def test_a_version_that_is_not_served_is_not_published(api: Api) -> None:
    definition = crd(FOO, "v5", "v6alpha1")
    await established(api, definition)
    path = f"{CRDS}/{definition['metadata']['name']}"
    operations = [{"op": "replace", "path": "/spec/versions/1/served", "value": False}]
    assert (await api.call("PATCH", path, operations, headers=JSON_PATCH)).status == 200
    assert await published(api, named(definition, "v5")) == FOO
    assert await published(api, named(definition, "v6alpha1")) is None


# Field validation

SPEC = {
    "foo": {"type": "string"},
    "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"},
    "ports": {
        "type": "array",
        "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
        "x-kubernetes-list-type": "map",
        "items": {
            "type": "object",
            "required": ["containerPort", "protocol"],
            "properties": {
                "containerPort": {"format": "int32", "type": "integer"},
                "name": {"type": "string"},
                "protocol": {"type": "string"},
            },
        },
    },
}
TEMPLATE = {
    "type": "object",
    "x-kubernetes-embedded-resource": True,
    "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
        "spec": {"type": "object"},
    },
}


def document(definition: dict[str, Any], *, root: str = "", meta: str = "", spec: str = "") -> str:
    head = thing(definition, "mytest")
    return f"""
apiVersion: {head["apiVersion"]}
kind: {head["kind"]}
metadata:
  name: mytest
{meta}  finalizers:
  - test-finalizer
{root}spec:
{spec}  foo: foo1
  cronSpec: "* * * * */5"
  ports:
  - name: x
    containerPort: 80
    protocol: TCP"""


async def applied(api: Api, definition: dict[str, Any], text: str) -> tuple[int, str]:
    query = "?fieldManager=field_validation_mgr&fieldValidation=Strict"
    path = f"{path_of(definition, definition['spec']['versions'][0]['name'])}/mytest{query}"
    answer = await api.call("PATCH", path, text, headers=APPLY)
    return answer.status, answer.text


def validated(spec: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": spec}}


async def test_unknown_fields_pass_without_a_schema(api: Api) -> None:
    definition = crd(ANYTHING, "v1beta1")
    await established(api, definition)
    status, text = await applied(api, definition, document(definition, root="unknownField: x\n"))
    assert status == 201, text


async def test_what_fits_the_schema_passes(api: Api) -> None:
    definition = crd(validated({"type": "object", "properties": SPEC}), "v1beta1")
    await established(api, definition)
    status, text = await applied(api, definition, document(definition))
    assert status == 201, text


async def test_unknown_fields_are_refused(api: Api) -> None:
    definition = crd(validated({"type": "object", "properties": SPEC}), "v1beta1")
    await established(api, definition)
    text = document(definition, root="unknownField: unknown\n")
    status, said = await applied(api, definition, text)
    assert status >= 400
    assert ".unknownField: field not declared in schema" in said


async def test_unknown_metadata_is_refused(api: Api) -> None:
    spec = {**ANYTHING, "properties": {**SPEC, "template": TEMPLATE}}
    definition = crd(validated(spec), "v1beta1")
    await established(api, definition)
    template = """\
  template:
    apiversion: foo/v1
    kind: Sub
    metadata:
        unknownSubMeta: unknown
        name: subobject
        namespace: default
"""
    text = document(definition, meta="  unknownMeta: unknown\n", spec=template)
    status, said = await applied(api, definition, text)
    assert status >= 400
    assert ".metadata.unknownMeta: field not declared in schema" in said
    # By creation both are told of.
    query = "?fieldValidation=Strict"
    obj = thing(definition, "created", spec={"template": {"apiVersion": "foo/v1", "kind": "Sub"}})
    obj["metadata"]["unknownMeta"] = "unknown"
    obj["spec"]["template"]["metadata"] = {"name": "sub", "unknownSubMeta": "unknown"}
    answer = await api.call("POST", path_of(definition, "v1beta1") + query, obj)
    assert answer.status == 400
    for field in ("metadata.unknownMeta", "spec.template.metadata.unknownSubMeta"):
        assert f'unknown field "{field}"' in answer.body["message"]


async def test_duplicates_are_refused_even_where_unknown_fields_are_kept(api: Api) -> None:
    definition = crd(validated({**ANYTHING, "properties": SPEC}), "v1beta1")
    await established(api, definition)
    text = document(definition, spec="  unknown: uk1\n  foo: foo0\n")
    status, said = await applied(api, definition, text)
    assert status >= 400
    assert r"line 11: key \"foo\" already set in map" in said
