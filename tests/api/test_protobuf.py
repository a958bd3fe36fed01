"""Protobuf both ways, as client-go's components speak it."""

import asyncio
import struct

import aiohttp
from definitions import CRD_PATH, CRON_TABS, cron_tab, definition
from rest import CONFIG_MAPS, Api, config_map

from sagong.api.protobuf.decoding import decode
from sagong.api.protobuf.encoding import Encoder
from sagong.api.protobuf.messages import Messages
from sagong.api.types import Obj
from sagong.cmd.server import Running

TYPE = "application/vnd.kubernetes.protobuf"
MESSAGES = Messages()
ENCODER = Encoder(MESSAGES)
TOKEN = {"Authorization": "Bearer admin-token"}


async def ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    obj: Obj | None = None,
    accept: str = TYPE,
) -> tuple[int, str, bytes]:
    headers = {**TOKEN, "Accept": accept, "Content-Type": TYPE}
    data = None if obj is None else ENCODER.body(obj)
    async with session.request(method, url, data=data, headers=headers, ssl=False) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.read()


async def test_objects_lists_and_failures(server: Running) -> None:
    url = server.url + CONFIG_MAPS
    async with aiohttp.ClientSession() as session:
        status, type_, body = await ask(session, "POST", url, config_map("a", x="1"))
        assert (status, type_) == (201, TYPE)
        made = decode(body, MESSAGES)
        assert (made["kind"], made["data"], made["metadata"]["name"]) == (
            "ConfigMap",
            {"x": "1"},
            "a",
        )
        assert made["metadata"]["managedFields"][0]["fieldsV1"]["f:data"] == {".": {}, "f:x": {}}
        _, _, body = await ask(session, "GET", f"{url}/a")
        assert decode(body, MESSAGES) == made
        _, type_, body = await ask(session, "GET", url, accept=f"{TYPE},application/json")
        listed = decode(body, MESSAGES)
        assert (type_, listed["kind"]) == (TYPE, "ConfigMapList")
        assert {"metadata": made["metadata"], "data": made["data"]} in listed["items"]
        status, type_, body = await ask(session, "POST", url, config_map("a"))
        failure = decode(body, MESSAGES)
        assert (status, type_) == (409, TYPE)
        assert (failure["kind"], failure["reason"]) == ("Status", "AlreadyExists")
        status, _, body = await ask(session, "DELETE", f"{url}/a")
        assert decode(body, MESSAGES)["status"] == "Success"


async def test_a_watch_is_a_stream_of_frames(server: Running, api: Api) -> None:
    await api.call("POST", CONFIG_MAPS, config_map("a"))
    url = f"{server.url}{CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Da"
    headers = {**TOKEN, "Accept": f"{TYPE};stream=watch"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers=headers, ssl=False) as answer,
    ):
        assert answer.headers["Content-Type"] == f"{TYPE};stream=watch"
        await api.call("DELETE", f"{CONFIG_MAPS}/a")
        for expected in (b"ADDED", b"DELETED"):
            (length,) = struct.unpack(">I", await answer.content.readexactly(4))
            frame = await answer.content.readexactly(length)
            assert frame[2 : 2 + frame[1]] == expected
            assert decode(frame[frame.index(b"k8s\0") :], MESSAGES)["metadata"]["name"] == "a"


async def test_a_watch_that_cannot_begin_says_so_in_a_frame(server: Running) -> None:
    url = f"{server.url}{CONFIG_MAPS}?watch=1&resourceVersion=nonsense"
    async with aiohttp.ClientSession() as session:
        status, type_, body = await ask(session, "GET", url)
    assert (status, type_) == (400, TYPE)
    assert decode(body, MESSAGES)["reason"] == "BadRequest"


async def test_custom_resources_have_messages_of_their_metadata_only(
    server: Running, api: Api
) -> None:
    assert (await api.call("POST", CRD_PATH, definition())).status == 201
    async with asyncio.timeout(5):
        while (await api.call("GET", CRON_TABS)).status == 404:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await api.call("POST", CRON_TABS, cron_tab("a"))).status == 201
    async with aiohttp.ClientSession() as session:
        url = server.url + CRON_TABS
        status, _, _ = await ask(session, "GET", url)
        assert status == 406
        _, type_, _ = await ask(session, "GET", url, accept=f"{TYPE},application/json")
        assert type_ == "application/json"
        shape = ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        _, type_, body = await ask(session, "GET", url, accept=TYPE + shape)
        listed = decode(body, MESSAGES)
        assert (type_, listed["kind"]) == (TYPE, "PartialObjectMetadataList")
        assert listed["items"][0]["metadata"]["name"] == "a"


async def test_discovery(server: Running) -> None:
    async with aiohttp.ClientSession() as session:
        _, type_, body = await ask(session, "GET", f"{server.url}/apis/apps/v1")
        found = decode(body, MESSAGES)
        assert (type_, found["kind"], found["groupVersion"]) == (TYPE, "APIResourceList", "apps/v1")


async def test_tables_have_no_message(server: Running) -> None:
    table = ";as=Table;g=meta.k8s.io;v=v1"
    async with aiohttp.ClientSession() as session:
        url = server.url + CONFIG_MAPS
        status, _, _ = await ask(session, "GET", url, accept=TYPE + table)
        assert status == 406
        accept = f"{TYPE}{table},application/json{table}"
        _, type_, _ = await ask(session, "GET", url, accept=accept)
        assert type_ == "application/json"
