"""What the server does by itself: compaction, event expiry, API services, its own limits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from rest import ADMIN, Api
from rest import config_map as sample

from sagong.cli.verbs.token import ca_hash
from sagong.client.client import Client
from sagong.client.in_process import InProcess
from sagong.cmd.discovery import PinError, fetch_ca
from sagong.cmd.server import Running
from sagong.core.clock import LoopClock
from sagong.core.ids import SeededIds
from sagong.server.assembly import Core, Parts, Security, api_server
from sagong.server.authn.union import UnionAuthenticator
from sagong.server.authz.interface import Attributes, Decision, Effect
from sagong.server.upkeep import COMPACTION_SECONDS, EVENT_SECONDS, EXPIRY_SECONDS, upkeep
from sagong.sim.loop import run_virtual
from sagong.store.drivers.memory import MemoryStore
from sagong.store.errors import Compacted

EPOCH = 1_767_225_600.0


class AllowAll:
    async def authorize(self, attributes: Attributes) -> Decision:
        return Decision(Effect.ALLOW)


@contextlib.asynccontextmanager
async def plain_core() -> AsyncIterator[tuple[Core, Client]]:
    clock, ids, store = LoopClock(EPOCH), SeededIds(1), MemoryStore()

    def security(*_: Any) -> Security:
        return Security(UnionAuthenticator([], [], api_audiences=[]), AllowAll())

    async with api_server(Parts(store, clock, ids, security)) as core, upkeep(core, None):
        yield core, Client(InProcess(core.server.dispatch, ADMIN), core.resources)
    await store.close()


def test_old_revisions_are_forgotten_and_young_ones_kept() -> None:
    async def live() -> None:
        async with plain_core() as (core, client):
            store = core.backend.store
            for number in range(3):
                await client.create("configmaps", sample(f"c{number}"), namespace="default")
            old = await store.current_revision()
            await asyncio.sleep(COMPACTION_SECONDS + 1)
            await client.create("configmaps", sample("young"), namespace="default")
            await store.range("/registry/", revision=old)
            await asyncio.sleep(COMPACTION_SECONDS)
            with pytest.raises(Compacted):
                await store.range("/registry/", revision=old - 1)
            await store.range("/registry/", revision=old + 1)
            assert len((await client.list("configmaps")).items) == 4

    run_virtual(live())


def test_events_vanish_an_hour_after_their_last_write() -> None:
    async def live() -> None:
        async with plain_core() as (_, client):
            for name in ("written-once", "written-again"):
                event = {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {"name": name},
                    "involvedObject": {"namespace": "default"},
                    "lastTimestamp": "2999-01-01T00:00:00Z",
                }
                await client.create("events", event, namespace="default")
            await asyncio.sleep(EVENT_SECONDS / 2)
            await client.patch("events", "written-again", {"count": 2}, namespace="default")
            await asyncio.sleep(EVENT_SECONDS / 2 + 2 * EXPIRY_SECONDS)
            left = [e.obj["metadata"]["name"] for e in (await client.list("events")).items]
            assert left == ["written-again"]
            await asyncio.sleep(EVENT_SECONDS / 2)
            assert not (await client.list("events")).items

    run_virtual(live())


async def test_api_services_name_every_group(api: Api) -> None:
    listing = (await api.call("GET", "/apis/apiregistration.k8s.io/v1/apiservices")).body
    found = {item["metadata"]["name"]: item for item in listing["items"]}
    assert {"v1.", "v1.apps", "v2.autoscaling"} <= found.keys()
    assert "v1.apiregistration.k8s.io" not in found
    apps = found["v1.apps"]
    assert apps["spec"]["groupPriorityMinimum"] == 17800
    assert apps["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    assert apps["status"]["conditions"][0]["reason"] == "Local"


async def test_openid_documents(api: Api) -> None:
    document = (await api.call("GET", "/.well-known/openid-configuration")).body
    assert document["issuer"] == "https://kubernetes.default.svc.cluster.local"
    keys = (await api.call("GET", "/openid/v1/jwks")).body["keys"]
    assert [key["alg"] for key in keys] == ["ES256"]
    assert (await api.call("GET", "/openid/v1/jwks", token="")).status in (401, 403)


async def test_a_joining_machine_finds_the_pinned_ca(server: Running) -> None:
    ca_pem = server.pki.ca_file.read_bytes()
    found = await asyncio.to_thread(fetch_ca, server.url, ca_hash(ca_pem))
    assert found == ca_pem
    with pytest.raises(PinError):
        await asyncio.to_thread(fetch_ca, server.url, "sha256:00")


async def test_the_default_service_range_is_there(api: Api) -> None:
    found = (await api.call("GET", "/apis/networking.k8s.io/v1/servicecidrs/kubernetes")).body
    assert found["spec"]["cidrs"] == ["10.96.0.0/16"]
