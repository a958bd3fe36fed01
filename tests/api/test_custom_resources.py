"""Custom resources: served at once, held to their schema, gone with their definition."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from definitions import CRD_PATH, CRON_TABS, NAME, as_text, cron_tab, definition, schema_of
from kubernetes import client as official
from kubernetes import config
from rest import ADMIN, Api, Kubectl

from sagong.api import errors
from sagong.client.client import Client
from sagong.cmd.server import Running, ServerConfig, serving
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


async def established(client: Client, crd: dict) -> None:
    """Create a definition and wait until it is served."""
    made = await client.create(DEFINITIONS, crd)
    await condition_of(client, made["metadata"]["name"], "Established", "True")


async def condition_of(client: Client, name: str, type_: str, status: str) -> dict:
    while True:
        found = await client.get(DEFINITIONS, name)
        for condition in found["status"].get("conditions") or ():
            if (condition["type"], condition["status"]) == (type_, status):
                return dict(condition)
        await asyncio.sleep(0.01)


async def gone(client: Client, name: str) -> None:
    with contextlib.suppress(errors.NotFound):
        while True:
            await client.get(DEFINITIONS, name)
            await asyncio.sleep(0.05)


@pytest.fixture
async def tabs(client: Client) -> Client:
    await established(client, definition())
    return client


async def test_served_from_the_moment_of_establishment(tabs: Client, api: Api) -> None:
    group = (await api.call("GET", "/apis/stable.example.com/v1")).body
    found = {r["name"]: r for r in group["resources"]}
    assert set(found) == {"crontabs", "crontabs/status", "crontabs/scale"}
    assert found["crontabs"]["shortNames"] == ["ct"]
    assert found["crontabs"]["categories"] == ["all"]
    aggregated = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    listed = (await api.call("GET", "/apis", headers=aggregated)).body["items"]
    assert "stable.example.com" in [item["metadata"]["name"] for item in listed]
    schemas = (await api.call("GET", "/openapi/v3/apis/stable.example.com/v1")).body
    assert "com.example.stable.v1.CronTab" in schemas["components"]["schemas"]
    document = (await api.call("GET", "/openapi/v2")).body
    assert "com.example.stable.v1.CronTabList" in document["definitions"]


async def test_defaults_pruning_and_generation(tabs: Client, api: Api) -> None:
    body = cron_tab("a", strange=1, raw={"kept": {"as": "is"}}, mode=None)
    made = await api.call("POST", CRON_TABS, body)
    assert made.body["spec"] == {
        "cronSpec": "* * * * */5",
        "image": "busybox",
        "raw": {"kept": {"as": "is"}},
    }
    assert r"unknown field \"spec.strange\"" in made.headers["Warning"]
    strict = await api.call("POST", CRON_TABS + "?fieldValidation=Strict", cron_tab("b", x=1))
    assert strict.status == 400
    assert 'unknown field "spec.x"' in strict.body["message"]
    merge = {"Content-Type": "application/merge-patch+json"}
    patched = await api.call("PATCH", CRON_TABS + "/a", {"spec": {"replicas": 2}}, headers=merge)
    assert patched.body["metadata"]["generation"] == 2
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    refused = await api.call("PATCH", CRON_TABS + "/a", {"spec": {}}, headers=strategic)
    assert refused.status == 415


async def test_validation_says_what_upstream_says(tabs: Client, api: Api) -> None:
    wrong = {
        "cronSpec": "x",
        "replicas": 11,
        "mode": "No",
        "tags": ["a", "a"],
        "when": "soon",
        "labels": {"a": "1", "b": "2", "c": "3"},
        "parts": [{"name": "p"}, {"name": "p", "size": "big"}, {"size": 3}],
        "port": True,
        "image": 5,
        "template": {"metadata": {}},
    }
    answer = await api.call("POST", CRON_TABS, cron_tab("bad", **wrong))
    assert answer.status == 422
    pattern = r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"
    found = {(c["field"], c["message"]) for c in answer.body["details"]["causes"]}
    types = "in body must be of type"
    assert found == {
        ("spec.cronSpec", f"Invalid value: \"x\": spec.cronSpec in body should match '{pattern}'"),
        (
            "spec.replicas",
            "Invalid value: 11: spec.replicas in body should be less than or equal to 10",
        ),
        ("spec.mode", 'Unsupported value: "No": supported values: "Allow", "Forbid"'),
        ("spec.tags[1]", 'Duplicate value: "a"'),
        ("spec.when", f'Invalid value: "soon": spec.when {types} date-time: "soon"'),
        ("spec.labels", "Too many: 3: must have at most 2 items"),
        ("spec.parts[1]", 'Duplicate value: {"name":"p"}'),
        (
            "spec.parts[1].size",
            f'Invalid value: "string": spec.parts[1].size {types} integer: "string"',
        ),
        ("spec.parts[2].name", "Required value"),
        ("spec.port", f'Invalid value: "boolean": spec.port {types} integer,string: "boolean"'),
        ("spec.image", f'Invalid value: "integer": spec.image {types} string: "integer"'),
        ("spec.template.apiVersion", "Required value: must not be empty"),
        ("spec.template.kind", "Required value: must not be empty"),
    }


async def test_what_was_allowed_before_may_stay(tabs: Client, api: Api) -> None:
    await api.call("POST", CRON_TABS, cron_tab("a", replicas=9, image="one"))
    crd = (await api.call("GET", f"{CRD_PATH}/{NAME}")).body
    schema_of(crd)["properties"]["replicas"]["maximum"] = 3
    assert (await api.call("PUT", f"{CRD_PATH}/{NAME}", crd)).status == 200
    merge = {"Content-Type": "application/merge-patch+json"}
    path = CRON_TABS + "/a"
    kept = await api.call("PATCH", path, {"spec": {"image": "two"}}, headers=merge)
    assert kept.status == 200
    changed = await api.call("PATCH", path, {"spec": {"replicas": 8}}, headers=merge)
    assert changed.status == 422


async def test_new_defaults_show_in_old_objects(tabs: Client, api: Api) -> None:
    await api.call("POST", CRON_TABS, cron_tab("old"))
    crd = (await api.call("GET", f"{CRD_PATH}/{NAME}")).body
    schema_of(crd)["properties"]["mode"]["default"] = "Forbid"
    await api.call("PUT", f"{CRD_PATH}/{NAME}", crd)
    assert (await api.call("GET", CRON_TABS + "/old")).body["spec"]["mode"] == "Forbid"
    assert (await api.call("GET", CRON_TABS)).body["items"][0]["spec"]["mode"] == "Forbid"


async def test_status_and_scale(tabs: Client, api: Api, kubectl: Kubectl) -> None:
    body = cron_tab("a", replicas=2) | {"status": {"ignored": True}}
    made = (await api.call("POST", CRON_TABS, body)).body
    assert "status" not in made
    made["status"] = {"replicas": 2, "labelSelector": "app=a"}
    made["spec"]["replicas"] = 7
    stored = (await api.call("PUT", CRON_TABS + "/a/status", made)).body
    assert (stored["spec"]["replicas"], stored["status"]["replicas"]) == (2, 2)
    assert stored["metadata"]["generation"] == 1
    scale = (await api.call("GET", CRON_TABS + "/a/scale")).body
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 2})
    assert scale["status"] == {"replicas": 2, "selector": "app=a"}
    assert "scaled" in await kubectl("scale", "ct/a", "--replicas=5")
    assert (await api.call("GET", CRON_TABS + "/a")).body["spec"]["replicas"] == 5
    told = await kubectl("scale", "ct/a", "--replicas=50", fails=True)
    assert "should be less than or equal to 10" in told


async def test_kubectl(tabs: Client, kubectl: Kubectl) -> None:
    text = as_text(cron_tab("a", replicas=3))
    assert "created" in await kubectl("apply", "-f", "-", stdin=text)
    assert "unchanged" in await kubectl("apply", "-f", "-", stdin=text)
    table = (await kubectl("get", "ct")).splitlines()
    assert table[0].split() == ["NAME", "SPEC", "REPLICAS", "READY", "AGE"]
    assert table[1].split()[:7] == ["a", "*", "*", "*", "*", "*/5", "3"]
    assert "crontab.stable.example.com/a" in await kubectl("get", "all", "-o", "name")
    assert "When to run." in await kubectl("explain", "crontab.spec.cronSpec")
    selected = await kubectl("get", "ct", "--field-selector=spec.image=busybox", "-o", "name")
    assert selected == "crontab.stable.example.com/a\n"
    apply = ("apply", "--server-side", "-f", "-", "--field-manager=other")
    parts = as_text(cron_tab("a", parts=[{"name": "one", "size": 1}]))
    told = await kubectl(*apply, stdin=parts.replace("*/5", "*/6"), fails=True)
    assert "conflict" in told
    await kubectl(*apply, stdin=parts)
    more = as_text(cron_tab("a", parts=[{"name": "two"}]))
    await kubectl(*apply[:-1], "--field-manager=third", stdin=more)
    names = await kubectl("get", "ct", "a", "-o", "jsonpath={.spec.parts[*].name}")
    assert names == "one two"


async def test_watch_and_deletion_with_the_definition(tabs: Client, api: Api) -> None:
    made = await tabs.create("crontabs.stable.example.com", cron_tab("a"), namespace="default")
    held = cron_tab("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await tabs.create("crontabs.stable.example.com", held, namespace="default")
    events = await tabs.watch(
        "crontabs.stable.example.com", resource_version=made["metadata"]["resourceVersion"]
    )
    assert (await api.call("DELETE", f"{CRD_PATH}/{NAME}")).status == 200
    await condition_of(tabs, NAME, "Terminating", "True")
    assert (await api.call("POST", CRON_TABS, cron_tab("late"))).status == 405
    merge = {"Content-Type": "application/merge-patch+json"}
    let_go = {"metadata": {"finalizers": None}}
    assert (await api.call("PATCH", CRON_TABS + "/held", let_go, headers=merge)).status == 200
    await gone(tabs, NAME)
    seen = [f"{e.type} {e.obj['metadata'].get('name')}" async for e in events]
    assert {"DELETED a", "DELETED held"} <= set(seen)
    assert (await api.call("GET", CRON_TABS)).status == 404
    groups = (await api.call("GET", "/apis")).body["groups"]
    assert "stable.example.com" not in [group["name"] for group in groups]
    await established(tabs, definition())
    assert (await api.call("GET", CRON_TABS)).body["items"] == []


async def test_names_in_use_are_refused(tabs: Client) -> None:
    other = definition(plural="othertabs", singular="othertab", kind="CronTab")
    await tabs.create(DEFINITIONS, other)
    found = await condition_of(tabs, "othertabs.stable.example.com", "NamesAccepted", "False")
    assert found["reason"] in ("KindConflict", "ShortNamesConflict")
    await tabs.delete(DEFINITIONS, NAME)
    await condition_of(tabs, "othertabs.stable.example.com", "Established", "True")


async def test_several_versions_show_one_object(client: Client, api: Api) -> None:
    crd = definition()
    second = {**crd["spec"]["versions"][0], "name": "v1beta1", "storage": False}
    crd["spec"]["versions"].append(second)
    await established(client, crd)
    await api.call("POST", CRON_TABS, cron_tab("a"))
    shown = (await api.call("GET", CRON_TABS.replace("/v1/", "/v1beta1/") + "/a")).body
    assert shown["apiVersion"] == "stable.example.com/v1beta1"
    found = (await api.call("GET", f"{CRD_PATH}/{NAME}")).body
    assert found["status"]["storedVersions"] == ["v1"]
    found["spec"]["versions"][0]["storage"], found["spec"]["versions"][1]["storage"] = False, True
    moved = (await api.call("PUT", f"{CRD_PATH}/{NAME}", found)).body
    assert moved["status"]["storedVersions"] == ["v1", "v1beta1"]
    assert (await api.call("GET", CRON_TABS + "/a")).body["apiVersion"] == "stable.example.com/v1"
    group = (await api.call("GET", "/apis/stable.example.com")).body
    assert group["preferredVersion"]["version"] == "v1"


async def test_a_restarted_server_serves_them_still(tmp_path: Path) -> None:
    async def run(steps: Any) -> None:
        settings = ServerConfig(tmp_path, port=0)
        async with serving(settings, clock=SystemClock(), ids=SystemIds()) as running:
            await steps(running.client(ADMIN))

    async def before(client: Client) -> None:
        await established(client, definition())
        await client.create("crontabs.stable.example.com", cron_tab("a"), namespace="default")

    async def after(client: Client) -> None:
        found = (await client.list("crontabs.stable.example.com")).items
        assert [item.obj["metadata"]["name"] for item in found] == ["a"]
        with pytest.raises(errors.AlreadyExists):
            await client.create("crontabs.stable.example.com", cron_tab("a"), namespace="default")

    await run(before)
    await run(after)


async def test_the_official_python_client(server: Running, tabs: Client) -> None:
    def use() -> None:
        api = official.CustomObjectsApi(config.new_client_from_config(str(server.kubeconfig)))
        where = ("stable.example.com", "v1", "default", "crontabs")
        api.create_namespaced_custom_object(*where, cron_tab("p"))
        api.patch_namespaced_custom_object(*where, "p", {"spec": {"replicas": 4}})
        found = api.list_namespaced_custom_object(*where)
        assert [item["spec"]["replicas"] for item in found["items"]] == [4]
        api.delete_namespaced_custom_object(*where, "p")

    await asyncio.to_thread(use)


async def test_wrong_definitions_are_refused(api: Api) -> None:
    crd = definition()
    schema_of(crd)["properties"]["cronSpec"]["pattern"] = "("
    refused = await api.call("POST", CRD_PATH, crd)
    assert refused.status == 422
    assert "must be a valid regular expression" in refused.body["message"]
