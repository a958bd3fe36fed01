"""Lists in chunks, at versions and by selectors."""

import pytest
from rest import CONFIG_MAPS, Api, config_map, pod

from sagong.api import errors
from sagong.client.client import Client


@pytest.fixture
async def five(client: Client) -> list[str]:
    for i in range(5):
        obj = config_map(f"c{i}")
        obj["metadata"]["labels"] = {"parity": "even" if i % 2 == 0 else "odd"}
        await client.create("configmaps", obj, namespace="default")
    return [f"c{i}" for i in range(5)]


def names(items: list) -> list[str]:
    return [item["metadata"]["name"] for item in items]


async def test_chunks_are_of_one_version(api: Api, client: Client, five: list[str]) -> None:
    first = (await api.call("GET", CONFIG_MAPS + "?limit=2")).body
    assert names(first["items"]) == five[:2]
    assert first["metadata"]["remainingItemCount"] == 3
    await client.delete("configmaps", "c3", namespace="default")
    await client.create("configmaps", config_map("c5"), namespace="default")
    token = first["metadata"]["continue"]
    rest = (await api.call("GET", f"{CONFIG_MAPS}?limit=9&continue={token}")).body
    assert names(rest["items"]) == five[2:]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert "continue" not in rest["metadata"]


async def test_an_expired_chunk_says_how_to_go_on(api: Api, server, client: Client, five) -> None:  # type: ignore[no-untyped-def]
    first = (await api.call("GET", CONFIG_MAPS + "?limit=2")).body
    await client.delete("configmaps", "c3", namespace="default")
    store = server.core.backend.store
    await store.compact(await store.current_revision())
    token = first["metadata"]["continue"]
    gone = await api.call("GET", f"{CONFIG_MAPS}?limit=9&continue={token}")
    assert (gone.status, gone.body["reason"]) == (410, "Expired")
    token = gone.body["metadata"]["continue"]
    rest = (await api.call("GET", f"{CONFIG_MAPS}?continue={token}")).body
    assert names(rest["items"]) == ["c2", "c4"]


async def test_selectors(client: Client, five: list[str]) -> None:
    odd = await client.list("configmaps", namespace="default", label_selector="parity=odd")
    assert names([e.obj for e in odd.items]) == ["c1", "c3"]
    one = await client.list("configmaps", field_selector="metadata.name=c2")
    assert names([e.obj for e in one.items]) == ["c2"]
    await client.create("pods", pod("a", nodeName="n1"), namespace="default")
    await client.create("pods", pod("b"), namespace="default")
    mine = await client.list("pods", field_selector="spec.nodeName=n1")
    assert names([e.obj for e in mine.items]) == ["a"]


async def test_exact_versions(api: Api, client: Client, five: list[str]) -> None:
    listing = await client.list("configmaps", namespace="default")
    await client.delete("configmaps", "c0", namespace="default")
    version = listing.resource_version
    path = f"{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch="
    assert names((await api.call("GET", path + "Exact")).body["items"]) == five
    assert names((await api.call("GET", path + "NotOlderThan")).body["items"]) == five[1:]
    future = await api.call("GET", f"{CONFIG_MAPS}?resourceVersion=99999")
    assert (future.status, future.body["reason"]) == (504, "Timeout")


async def test_contradictions_are_refused(api: Api) -> None:
    answer = await api.call("GET", CONFIG_MAPS + "?resourceVersionMatch=Exact")
    assert answer.status == 422
    assert "forbidden unless resourceVersion is provided" in answer.body["message"]


async def test_delete_collection(client: Client, five: list[str]) -> None:
    await client.delete_collection("configmaps", namespace="default", label_selector="parity=even")
    left = await client.list("configmaps", namespace="default")
    assert names([e.obj for e in left.items]) == ["c1", "c3"]


async def test_unknown_things(client: Client, api: Api) -> None:
    with pytest.raises(errors.BadRequest, match=r"field label not supported: spec\.bogus"):
        await client.list("pods", field_selector="spec.bogus=x")
    assert (await api.call("GET", "/api/v1/nopes")).status == 404
    assert (await api.call("GET", "/nothing")).text == "404 page not found\n"
    assert (await api.call("PUT", "/api/v1/pods")).status in (404, 405)
