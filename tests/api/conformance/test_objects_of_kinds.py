"""Conformance behaviours of single kinds and of the server itself."""

import asyncio
import json
from typing import Any

import pytest
from rest import Api
from spaces import MERGE, Space, pod_spec

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_server_version(api: Api) -> None:
    found = (await api.call("GET", "/version")).body
    assert (found["major"], found["minor"].rstrip("+")) == ("1", "36")


async def test_discovery(api: Api) -> None:
    """Each group's preferred version is one of its versions, and lists its resources."""
    groups = (await api.call("GET", "/apis")).body["groups"]
    for group in groups:
        one = (await api.call("GET", f"/apis/{group['name']}")).body
        assert one["preferredVersion"] == group["preferredVersion"]
        assert one["preferredVersion"] in group["versions"]
        listed = (await api.call("GET", f"/apis/{one['preferredVersion']['groupVersion']}")).body
        assert listed["groupVersion"] == one["preferredVersion"]["groupVersion"]
        assert listed["resources"]


async def test_webhook_resources_are_discovered(api: Api) -> None:
    found = (await api.call("GET", "/apis/admissionregistration.k8s.io/v1")).body
    names = {r["name"] for r in found["resources"]}
    assert {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} <= names


async def test_aggregated_discovery(api: Api) -> None:
    kind = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    accept = {"Accept": f"application/json;{kind}"}
    for path, group in (("/api", ""), ("/apis", "apps")):
        answer = await api.call("GET", path, headers=accept)
        assert kind in answer.headers["Content-Type"]
        assert answer.body["kind"] == "APIGroupDiscoveryList"
        items = {i["metadata"].get("name", ""): i for i in answer.body["items"]}
        resources = {r["resource"] for r in items[group]["versions"][0]["resources"]}
        assert ("pods" if group == "" else "deployments") in resources


async def test_a_review_is_no_table(api: Api) -> None:
    """What has no metadata of its own cannot be shown as a table."""
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert (await api.call("POST", path, body, headers=table)).status == 406


async def test_concurrent_watches_agree(space: Space, api: Api) -> None:
    """Many watches from different versions see the same events in the same order."""
    versions = []
    for index in range(10):
        made = await space.create("configmaps", f"c{index}", data={"n": "1"})
        versions.append(made["metadata"]["resourceVersion"])
    for index in range(10):
        await space.patch(f"configmaps/c{index}", {"data": {"n": "2"}})
        await space.delete(f"configmaps/c{index}")

    async def seen_from(version: str) -> list[str]:
        query = f"?watch=true&timeoutSeconds=1&resourceVersion={version}"
        answer = await api.call("GET", space.url("configmaps" + query))
        events = [json.loads(line) for line in answer.text.splitlines()]
        return [e["object"]["metadata"]["resourceVersion"] for e in events]

    found = await asyncio.gather(*(seen_from(version) for version in versions))
    assert len(found[0]) == 29
    for events in found:
        assert events == found[0][len(found[0]) - len(events) :]


async def test_unknown_and_duplicate_fields(space: Space) -> None:
    path = "configmaps?fieldValidation=Strict"
    unknown = {"metadata": {"name": "a", "unknownMeta": 1}, "data": {}, "wrong": 1}
    told = (await space.refused("POST", path, unknown))["message"]
    assert 'unknown field "wrong"' in told
    assert 'unknown field "metadata.unknownMeta"' in told
    twice = '{"metadata":{"name":"a"},"data":{"x":"1"},"data":{"x":"2"}}'
    assert 'duplicate field "data"' in (await space.refused("POST", path, twice))["message"]


@pytest.mark.parametrize("resource", ["configmaps", "secrets"])
async def test_immutable_data(space: Space, resource: str) -> None:
    await space.create(resource, "a", data={"x": "MQ=="})
    await space.patch(f"{resource}/a", {"data": {"x": "Mg=="}})
    await space.patch(f"{resource}/a", {"immutable": True})
    for change in ({"data": {"x": "Mw=="}}, {"immutable": False}):
        refused = await space.refused("PATCH", f"{resource}/a", change, headers=MERGE)
        assert refused["reason"] == "Invalid"
        assert "field is immutable when `immutable` is set" in refused["message"]
    await space.patch(f"{resource}/a", {"metadata": {"labels": {"still": "allowed"}}})
    await space.delete(f"{resource}/a")


@pytest.mark.parametrize("resource", ["configmaps", "secrets"])
async def test_empty_keys(space: Space, resource: str) -> None:
    body = {"metadata": {"name": "a"}, "data": {"": "MQ=="}}
    assert (await space.refused("POST", resource, body))["reason"] == "Invalid"


async def test_runtime_classes_of_pods(space: Space) -> None:
    body = {"metadata": {"name": "p"}, "spec": pod_spec(runtimeClassName=f"{space.name}-gone")}
    assert (await space.refused("POST", "pods", body))["reason"] == "Forbidden"
    classes = "/apis/node.k8s.io/v1/runtimeclasses"
    made = {"metadata": {"name": f"{space.name}-gone"}, "handler": "runc"}
    await space.ask("POST", classes, made)

    async def accepted() -> bool:
        return (await space.api.call("POST", space.url("pods?dryRun=All"), body)).status == 201

    assert await accepted()
    await space.delete(f"{classes}/{space.name}-gone")
    assert not await accepted()


async def test_subject_reviews(space: Space) -> None:
    base = "/apis/authorization.k8s.io/v1"
    asked: dict[str, Any] = {
        "resourceAttributes": {"namespace": space.name, "verb": "create", "resource": "configmaps"}
    }
    someone = asked | {"user": f"system:serviceaccount:{space.name}:default"}
    review = await space.ask("POST", f"{base}/subjectaccessreviews", {"spec": someone})
    assert review["status"]["allowed"] is False
    local = "authorization.k8s.io/v1 localsubjectaccessreviews"
    body = {"metadata": {"namespace": space.name}, "spec": someone}
    assert (await space.ask("POST", local, body))["status"]["allowed"] is False
    mine = await space.ask("POST", f"{base}/selfsubjectaccessreviews", {"spec": asked})
    assert mine["status"]["allowed"] is True


async def test_generations_of_pods(space: Space) -> None:
    made = await space.create("pods", "p", spec=pod_spec())
    assert made["metadata"]["generation"] == 1
    labelled = await space.patch("pods/p", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 1
    changed = await space.patch("pods/p", {"spec": {"activeDeadlineSeconds": 3600}})
    assert changed["metadata"]["generation"] == 2
