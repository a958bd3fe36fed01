"""Custom resources of several versions, converted by a webhook, as conformance tries them."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from definitions import CRD_PATH
from hooks import Hooks, hook_server, keys
from rest import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")
GROUP = "convert.example.com"
MERGE = {"Content-Type": "application/merge-patch+json"}
SCHEMAS = {
    "v1": {"hostPort": {"type": "string"}},
    "v2": {"host": {"type": "string"}, "port": {"type": "string", "default": "80"}},
}
FIELDS = {"v1": [".hostPort"], "v2": [".host", ".port"]}


def converted(obj: Any, api_version: str) -> Any:
    """v1 has hostPort, v2 has host and port."""
    new = {k: v for k, v in obj.items() if k not in ("hostPort", "host", "port")}
    new["apiVersion"] = api_version
    if api_version.endswith("/v2") and "hostPort" in obj:
        new["host"], _, new["port"] = obj["hostPort"].partition(":")
    elif api_version.endswith("/v1") and "host" in obj:
        new["hostPort"] = f"{obj['host']}:{obj.get('port', '')}"
    return new


class Converting:
    """A conversion webhook that counts its questions."""

    def __init__(self) -> None:
        self.questions: list[Any] = []
        self.change: Any = None  # of the whole response
        self.spoil: Any = None  # of each converted object

    async def __call__(self, request: web.Request) -> web.Response:
        review = await request.json()
        asked = review["request"]
        self.questions.append(asked)
        objects = [converted(o, asked["desiredAPIVersion"]) for o in asked["objects"]]
        if self.spoil is not None:
            objects = [self.spoil(copy.deepcopy(o)) for o in objects]
        response = {
            "uid": asked["uid"],
            "result": {"status": "Success"},
            "convertedObjects": objects,
        }
        if self.change is not None:
            response.update(self.change)
        kinds = {"kind": review["kind"], "apiVersion": review["apiVersion"]}
        return web.json_response({**kinds, "response": response})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hooks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hooks]:
    async with hook_server(keys(tmp_path_factory.mktemp("hooks"))) as running:
        yield running


def definition(plural: str, client: dict[str, Any], *, storage: str = "v1") -> dict[str, Any]:
    kind = plural[:-1].capitalize()
    versions = [
        {
            "name": name,
            "served": True,
            "storage": name == storage,
            "subresources": {"status": {}},
            "selectableFields": [{"jsonPath": path} for path in FIELDS[name]],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
        }
        for name, properties in SCHEMAS.items()
    ]
    webhook = {"clientConfig": client, "conversionReviewVersions": ["v1", "v1beta1"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": versions,
            "conversion": {"strategy": "Webhook", "webhook": webhook},
        },
    }


class Places:
    """A converted resource: its webhook and the paths of its versions."""

    def __init__(self, plural: str, api: Api, converting: Converting) -> None:
        self.plural = plural
        self.api = api
        self.converting = converting
        self.kind = plural[:-1].capitalize()

    def path(self, version: str, name: str = "") -> str:
        base = f"/apis/{GROUP}/{version}/namespaces/default/{self.plural}"
        return f"{base}/{name}" if name else base

    async def make(self, version: str, name: str, **fields: Any) -> Any:
        answer = await self.api.call(
            "POST",
            self.path(version),
            {
                "apiVersion": f"{GROUP}/{version}",
                "kind": self.kind,
                "metadata": {"name": name},
                **fields,
            },
        )
        assert answer.status == 201, answer.text
        return answer.body

    async def get(self, version: str, name: str) -> Any:
        return (await self.api.call("GET", self.path(version, name))).body


COUNT = iter(range(1000))


@pytest_asyncio.fixture(loop_scope="module")
async def places(api: Api, hooks: Hooks) -> Places:
    converting = Converting()
    plural = f"place{chr(97 + next(COUNT))}s"
    hooks.raw[f"/{plural}"] = converting
    made = await api.call("POST", CRD_PATH, definition(plural, hooks.client(f"/{plural}")))
    assert made.status == 201, made.text
    return Places(plural, api, converting)


async def test_objects_are_converted_from_one_version_to_the_other(places: Places) -> None:
    made = await places.make("v1", "a", hostPort="here:8080")
    assert places.converting.questions == []
    shown = await places.get("v2", "a")
    assert (shown["apiVersion"], shown["host"], shown["port"]) == (f"{GROUP}/v2", "here", "8080")
    assert "hostPort" not in shown
    assert shown["metadata"]["uid"] == made["metadata"]["uid"]
    (asked,) = places.converting.questions
    assert asked["desiredAPIVersion"] == f"{GROUP}/v2"
    assert [o["hostPort"] for o in asked["objects"]] == ["here:8080"]
    # Written in the version that is not stored, it is stored in the other.
    made = await places.make("v2", "b", host="there")
    assert (made["host"], made["port"]) == ("there", "80")
    assert (await places.get("v1", "b"))["hostPort"] == "there:80"
    path = places.path("v2", "b")
    changed = await places.api.call("PATCH", path, {"port": "81"}, headers=MERGE)
    assert (changed.body["port"], changed.body["metadata"]["generation"]) == ("81", 2)
    assert (await places.get("v1", "b"))["hostPort"] == "there:81"
    updated = await places.api.call("PUT", path, {**changed.body, "host": "elsewhere"})
    assert updated.body["host"] == "elsewhere"
    status = await places.api.call("GET", f"{path}/status")
    assert status.body["apiVersion"] == f"{GROUP}/v2"
    applied = {"apiVersion": f"{GROUP}/v2", "kind": places.kind, "port": "82"}
    answer = await places.api.call(
        "PATCH",
        f"{path}?fieldManager=me&force=true",
        applied,
        headers={"Content-Type": "application/apply-patch+yaml"},
    )
    assert (answer.body["port"], answer.body["host"]) == ("82", "elsewhere")
    owners = {e["manager"]: e["apiVersion"] for e in answer.body["metadata"]["managedFields"]}
    assert owners["me"] == f"{GROUP}/v2"
    gone = await places.api.call("DELETE", path)
    assert gone.status == 200
    assert (await places.api.call("GET", path)).status == 404


async def test_a_list_of_objects_in_both_versions_is_converted(
    places: Places, hooks: Hooks, api: Api
) -> None:
    await places.make("v1", "a", hostPort="one:1")
    name = f"{places.plural}.{GROUP}"
    stored = definition(places.plural, hooks.client(f"/{places.plural}"), storage="v2")
    changed = await api.call("PATCH", f"{CRD_PATH}/{name}", {"spec": stored["spec"]}, headers=MERGE)
    assert changed.body["status"]["storedVersions"] == ["v1", "v2"]
    await places.make("v2", "b", host="two", port="2")
    places.converting.questions.clear()
    for version in ("v1", "v2"):
        listed = (await api.call("GET", places.path(version))).body
        assert listed["apiVersion"] == f"{GROUP}/{version}"
        assert [o["apiVersion"] for o in listed["items"]] == [f"{GROUP}/{version}"] * 2
        ports = [o.get("hostPort") or f"{o['host']}:{o['port']}" for o in listed["items"]]
        assert ports == ["one:1", "two:2"]
    # Each list asked once, and only for what was not in its version.
    assert [len(q["objects"]) for q in places.converting.questions] == [1, 1]


async def watch(places: Places, version: str, query: str, count: int) -> list[Any]:
    """So many events from the beginning of a watch on."""
    url = f"{places.api.url}{places.path(version)}?watch=true&{query}"
    headers = {"Authorization": "Bearer admin-token"}
    found: list[Any] = []
    async with asyncio.timeout(15):
        async with places.api.session.get(url, headers=headers, ssl=False) as response:
            while len(found) < count:
                found.append(json.loads(await response.content.readline()))
    return found


async def test_watches_are_converted(places: Places) -> None:
    first = await places.make("v1", "a", hostPort="a:1")
    since = first["metadata"]["resourceVersion"]
    events = asyncio.ensure_future(watch(places, "v2", f"resourceVersion={since}", 3))
    await places.make("v1", "b", hostPort="b:2")
    path = places.path("v1", "b")
    await places.api.call("PATCH", path, {"hostPort": "b:3"}, headers=MERGE)
    await places.api.call("DELETE", path)
    seen = [(e["type"], e["object"]["host"], e["object"]["port"]) for e in await events]
    assert seen == [("ADDED", "b", "2"), ("MODIFIED", "b", "3"), ("DELETED", "b", "3")]


async def test_field_selectors_see_the_version_that_is_asked_in(places: Places) -> None:
    for name, where in (("a", "one:80"), ("b", "two:80"), ("c", "one:81")):
        await places.make("v1", name, hostPort=where)

    async def names(version: str, selector: str) -> list[str]:
        path = f"{places.path(version)}?fieldSelector={selector}"
        answer = await places.api.call("GET", path)
        assert answer.status == 200, answer.text
        return [o["metadata"]["name"] for o in answer.body["items"]]

    assert await names("v1", "hostPort=one:80") == ["a"]
    assert await names("v2", "host=one") == ["a", "c"]
    assert await names("v2", "host=one,port=80") == ["a"]
    assert (
        await places.api.call("GET", f"{places.path('v2')}?fieldSelector=hostPort=x")
    ).status == 400
    page = (
        await places.api.call("GET", f"{places.path('v2')}?fieldSelector=host=one&limit=1")
    ).body
    assert [o["metadata"]["name"] for o in page["items"]] == ["a"]
    token = page["metadata"]["continue"]
    rest = await places.api.call(
        "GET", f"{places.path('v2')}?fieldSelector=host=one&limit=1&continue={token}"
    )
    assert [o["metadata"]["name"] for o in rest.body["items"]] == ["c"]
    # A watch says ADDED and DELETED as the selector begins and ceases to hold.
    events = asyncio.ensure_future(watch(places, "v2", "fieldSelector=host=one", 4))
    await asyncio.sleep(0)
    await places.api.call("PATCH", places.path("v1", "b"), {"hostPort": "one:80"}, headers=MERGE)
    await places.api.call("PATCH", places.path("v1", "a"), {"hostPort": "two:80"}, headers=MERGE)
    seen = [(e["type"], e["object"]["metadata"]["name"]) for e in await events]
    assert sorted(seen[:2]) == [("ADDED", "a"), ("ADDED", "c")] or len(seen) == 4
    collection = await places.api.call("DELETE", f"{places.path('v2')}?fieldSelector=host=one")
    assert collection.status == 200
    assert await names("v1", "") == ["a"]


KINDS = f"{GROUP}/v1, Kind="
FAILURES = [
    (
        {"change": {"result": {"status": "Failure", "message": "cannot"}}},
        "conversion webhook for {kind} failed: cannot",
    ),
    (
        {"change": {"uid": "other"}},
        'conversion webhook for {kind} failed: expected response.uid="',
    ),
    (
        {"change": {"convertedObjects": []}},
        "conversion webhook for {kind} returned 0 objects, expected 1",
    ),
    (
        {"spoil": lambda o: {**o, "apiVersion": f"{GROUP}/v3"}},
        "conversion webhook for {kind} returned invalid converted object: invalid groupVersion "
        f"(expected {GROUP}/v2, received {GROUP}/v3)",
    ),
    (
        {"spoil": lambda o: {**o, "metadata": {**o["metadata"], "name": "b"}}},
        "conversion webhook for {kind} returned invalid converted object: must have the same "
        "name: a != b",
    ),
    (
        {"spoil": lambda o: {**o, "metadata": {**o["metadata"], "labels": {"a": 1}}}},
        "conversion webhook for {kind} returned invalid metadata: metadata.labels is no map",
    ),
]


@pytest.mark.parametrize(("fault", "text"), FAILURES, ids=[str(i) for i in range(len(FAILURES))])
async def test_bad_conversions_are_refused(
    places: Places, fault: dict[str, Any], text: str
) -> None:
    await places.make("v1", "a", hostPort="a:1")
    for name, value in fault.items():
        setattr(places.converting, name, value)
    error = await places.get("v2", "a")
    assert error["code"] == 500
    assert error["message"].startswith(text.format(kind=f"{KINDS}{places.kind}"))
    # In the stored version nobody asks.
    assert (await places.get("v1", "a"))["hostPort"] == "a:1"


async def test_conversion_may_change_labels_and_annotations_only(places: Places) -> None:
    def spoil(obj: Any) -> Any:
        metadata = obj["metadata"]
        obj["metadata"] = {
            **metadata,
            "labels": {"converted": "yes"},
            "finalizers": ["example.com/none"],
            "generation": 42,
        }
        return obj

    await places.make("v1", "a", hostPort="a:1")
    places.converting.spoil = spoil
    shown = await places.get("v2", "a")
    assert shown["metadata"]["labels"] == {"converted": "yes"}
    assert "finalizers" not in shown["metadata"]
    assert shown["metadata"]["generation"] == 1


async def test_a_webhook_that_is_away_is_told_of(api: Api, hooks: Hooks) -> None:
    client = {"service": {"namespace": "nowhere", "name": "nobody", "path": "/convert"}}
    made = await api.call("POST", CRD_PATH, definition("absents", client))
    assert made.status == 201, made.text
    places = Places("absents", api, Converting())
    await places.make("v1", "a", hostPort="a:1")
    for path in (places.path("v2"), places.path("v2", "a")):
        error = (await api.call("GET", path)).body
        assert error["message"] == (
            f"conversion webhook for {KINDS}Absent failed: "
            'Post "https://nobody.nowhere.svc:443/convert?timeout=30s": service "nobody" not found'
        )
    # The definition can be deleted nevertheless, and its objects with it.
    assert (await api.call("DELETE", f"{CRD_PATH}/absents.{GROUP}")).status == 200
    async with asyncio.timeout(15):
        while (await api.call("GET", f"{CRD_PATH}/absents.{GROUP}")).status != 404:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
