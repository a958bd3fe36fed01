"""Watches: where they begin, what they deliver, how they end."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from rest import ADMIN, CONFIG_MAPS, Api, config_map

from sagong.api.call import Call, EventType, Options, Verb, Watching
from sagong.client.client import Client
from sagong.cmd.server import Running


async def take(events: AsyncIterator[Any], count: int) -> list[tuple[str, str]]:
    async with asyncio.timeout(5):
        found = [await anext(events) for _ in range(count)]
    return [(event.type, event.obj["metadata"].get("name", "")) for event in found]


async def test_history_then_live(client: Client) -> None:
    start = await client.list("configmaps", namespace="default")
    await client.create("configmaps", config_map("a"), namespace="default")
    events = await client.watch(
        "configmaps", namespace="default", resource_version=start.resource_version
    )
    await client.patch("configmaps", "a", {"data": {"x": "1"}}, namespace="default")
    await client.delete("configmaps", "a", namespace="default")
    assert await take(events, 3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    await events.aclose()  # type: ignore[attr-defined]


async def test_state_comes_first_without_a_version(client: Client) -> None:
    await client.create("configmaps", config_map("a"), namespace="default")
    events = await client.watch("configmaps", namespace="default")
    await client.create("configmaps", config_map("b"), namespace="default")
    assert await take(events, 2) == [("ADDED", "a"), ("ADDED", "b")]
    await events.aclose()  # type: ignore[attr-defined]


async def test_what_enters_and_leaves_a_selection(client: Client) -> None:
    await client.create("configmaps", config_map("a"), namespace="default")
    start = await client.list("configmaps", namespace="default")
    events = await client.watch(
        "configmaps",
        namespace="default",
        resource_version=start.resource_version,
        label_selector="x=y",
    )
    for value in ("y", "y2", "y"):
        patch = {"metadata": {"labels": {"x": value}}}
        await client.patch("configmaps", "a", patch, namespace="default")
    assert await take(events, 3) == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]
    await events.aclose()  # type: ignore[attr-defined]


async def test_initial_events_end_with_a_bookmark(server: Running, client: Client) -> None:
    await client.create("configmaps", config_map("a"), namespace="default")
    resource = server.core.resources.named("configmaps")
    assert resource is not None
    options = Options(
        send_initial_events=True,
        allow_watch_bookmarks=True,
        resource_version_match="NotOlderThan",
    )
    call = Call(Verb.WATCH, resource, namespace="default", options=options)
    answer = await server.core.server.dispatch(call, ADMIN)
    assert isinstance(answer, Watching)
    first, second = await anext(answer.events), await anext(answer.events)
    assert first.type is EventType.ADDED
    assert second.type is EventType.BOOKMARK
    assert second.obj["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    await answer.events.aclose()  # type: ignore[attr-defined]


async def test_lines_over_https_until_the_timeout(api: Api, client: Client) -> None:
    await client.create("configmaps", config_map("a"), namespace="default")
    path = f"{CONFIG_MAPS}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true"
    answer = await api.call("GET", path)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["type"] for line in lines] == ["ADDED", "BOOKMARK"]
    assert answer.headers["Content-Type"] == "application/json"


async def test_too_old(server: Running, client: Client) -> None:
    cache = server.core.caches.named("configmaps")
    assert cache is not None
    await client.create("configmaps", config_map("a"), namespace="default")
    cache.floor = server.core.caches.revision
    events = await client.watch("configmaps", resource_version="2")
    event = await anext(events)
    assert (event.type, event.obj["code"], event.obj["reason"]) == ("ERROR", 410, "Expired")
    assert event.obj["message"].startswith("too old resource version: 2 (")


async def test_websocket(api: Api, client: Client) -> None:
    await client.create("configmaps", config_map("a"), namespace="default")
    headers = {"Authorization": "Bearer admin-token"}
    async with api.session.ws_connect(
        f"{api.url}{CONFIG_MAPS}?watch=1", headers=headers, ssl=False
    ) as socket:
        event = await socket.receive_json()
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")
