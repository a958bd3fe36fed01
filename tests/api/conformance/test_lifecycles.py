"""The whole life of each built-in kind through the API, as conformance asks for it.

Discovery, create, get, list in a namespace and everywhere, watch, patch, update, the status
subresource, delete, deletecollection by label; and that the watch tells all of it.
"""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from rest import Api

KINDS = yaml.safe_load(Path(__file__).with_name("kinds.yaml").read_text())
MERGE = {"Content-Type": "application/merge-patch+json"}
SUITE = "suite=life"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(slots=True)
class Life:
    """One kind's data and the paths of its resource."""

    api: Api
    data: dict[str, Any]
    kind: str = ""
    namespaced: bool = True
    subresources: set[str] = field(default_factory=set)

    @property
    def group_path(self) -> str:
        version = self.data["version"]
        return f"/apis/{version}" if "/" in version else f"/api/{version}"

    @property
    def everywhere(self) -> str:
        return f"{self.group_path}/{self.data['resource']}"

    @property
    def path(self) -> str:
        if not self.namespaced:
            return self.everywhere
        return f"{self.group_path}/namespaces/default/{self.data['resource']}"

    @property
    def names(self) -> list[str]:
        return self.data.get("names") or ["life-a", "life-b", "life-c"]

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        answer = await self.api.call(method, path, body, **options)
        assert answer.status < 300, (method, path, answer.status, answer.text)
        return answer.body

    async def discover(self) -> None:
        """Group, version and resource are in the discovery documents."""
        version = self.data["version"]
        if "/" in version:
            group = version.split("/")[0]
            groups = {g["name"]: g for g in (await self.ask("GET", "/apis"))["groups"]}
            assert version in {v["groupVersion"] for v in groups[group]["versions"]}
            found = await self.ask("GET", f"/apis/{group}")
            assert version in {v["groupVersion"] for v in found["versions"]}
        listed = (await self.ask("GET", self.group_path))["resources"]
        named = {r["name"]: r for r in listed}
        mine = named[self.data["resource"]]
        self.kind, self.namespaced = mine["kind"], mine["namespaced"]
        prefix = self.data["resource"] + "/"
        self.subresources = {n.removeprefix(prefix) for n in named if n.startswith(prefix)}
        wanted = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
        assert set(mine["verbs"]) == wanted

    async def create(self, name: str) -> Any:
        body = {
            "apiVersion": self.data["version"],
            "kind": self.kind,
            "metadata": {"name": name, "labels": {"suite": "life"}},
            **self.data["object"],
        }
        made = await self.ask("POST", self.path, body)
        assert made["metadata"]["uid"]
        assert made["metadata"]["creationTimestamp"]
        return made

    async def update(self, path: str, change: Any) -> Any:
        """Get, change, put; a PUT with an old resource version is a conflict."""
        found = await self.ask("GET", path)
        stale = merged(found, change)
        made = await self.ask("PUT", path, stale)
        assert made["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]
        refused = await self.api.call(
            "PUT", path, merged(stale, {"metadata": {"labels": {"z": "z"}}})
        )
        assert (refused.status, refused.body["reason"]) == (409, "Conflict")
        return made

    async def remove(self, name: str) -> None:
        """Delete; where a protection finalizer holds the object, take it off as controllers do."""
        query = "?propagationPolicy=Background&gracePeriodSeconds=0"
        await self.ask("DELETE", f"{self.path}/{name}{query}")
        await self.release(name)
        assert (await self.api.call("GET", f"{self.path}/{name}")).status == 404

    async def release(self, name: str) -> None:
        answer = await self.api.call("GET", f"{self.path}/{name}")
        if answer.status == 404:
            return
        assert self.data.get("deletion") == "finalizers", answer.text
        assert answer.body["metadata"]["deletionTimestamp"]
        patch = {"metadata": {"finalizers": None}}
        await self.ask("PATCH", f"{self.path}/{name}", patch, headers=MERGE)

    async def list_names(self, path: str, query: str = f"?labelSelector={SUITE}") -> list[str]:
        found = await self.ask("GET", path + query)
        assert found["kind"] == self.kind + "List"
        return [item["metadata"]["name"] for item in found["items"]]

    async def watch(self, version: str, events: list[Any]) -> None:
        """Collect events until cancelled."""
        query = f"?watch=true&resourceVersion={version}&labelSelector={SUITE}"
        url = self.api.url + self.everywhere + query
        headers = {"Authorization": "Bearer admin-token"}
        async with self.api.session.get(url, headers=headers, ssl=False) as response:
            assert response.status == 200
            async for line in response.content:
                events.append(json.loads(line))  # noqa: PERF401 - one by one, as they come


def merged(obj: Any, change: Any) -> Any:
    """A JSON merge patch applied."""
    if not isinstance(change, dict) or not isinstance(obj, dict):
        return change
    out = dict(obj)
    for key, value in change.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merged(obj.get(key), value)
    return out


def holds(found: Any, wanted: Any) -> bool:
    """Whether everything wanted is found; the server may have added fields."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(holds(found.get(k), v) for k, v in wanted.items())
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(holds, found, wanted))
    return bool(found == wanted)


def title(data: dict[str, Any]) -> str:
    return f"{data['resource']}.{data['version'].replace('/', '.')}"


@pytest.mark.parametrize("data", KINDS, ids=title)
async def test_life(api: Api, data: dict[str, Any]) -> None:
    life = Life(api, data)
    await life.discover()
    version = (await life.ask("GET", life.everywhere))["metadata"]["resourceVersion"]
    events: list[Any] = []
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(life.watch(version, events))
        told = await _live(life)
        async with asyncio.timeout(5):
            while [e["type"] for e in events].count("DELETED") < len(life.names):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        watching.cancel()
    _check_told(life, told, events)


async def _live(life: Life) -> list[str]:
    """From creation to deletion; the resource versions that the first object had."""
    first, second, third = life.names
    path = f"{life.path}/{first}"
    versions = []
    for name in life.names:
        made = await life.create(name)
        versions += [made["metadata"]["resourceVersion"]] if name == first else []
    assert holds(await life.ask("GET", path), life.data["object"])
    assert await life.list_names(life.path) == life.names
    assert await life.list_names(life.everywhere) == life.names
    assert await life.list_names(life.everywhere, f"?fieldSelector=metadata.name={first}") == [
        first
    ]

    patch = {"metadata": {"annotations": {"patched": "true"}, "labels": {"patched": "once"}}}
    patched = await life.ask("PATCH", path, patch, headers=MERGE)
    assert holds(patched, patch)
    versions.append(patched["metadata"]["resourceVersion"])
    updated = await life.update(path, life.data["change"])
    if "stringData" not in life.data["change"]:
        assert holds(updated, life.data["change"])
    versions.append(updated["metadata"]["resourceVersion"])
    versions += await _live_status(life, path)

    await life.remove(first)
    assert await life.list_names(life.path) == [second, third]
    query = f"?labelSelector={SUITE}&propagationPolicy=Background&gracePeriodSeconds=0"
    await life.ask("DELETE", life.path + query)
    await life.release(second)
    await life.release(third)
    assert await life.list_names(life.path) == []
    return versions


async def _live_status(life: Life, path: str) -> list[str]:
    """Patch, get and put the status; what is beside it stays as it was."""
    wanted = life.data.get("status")
    assert ("status" in life.subresources) == (wanted is not None)
    if wanted is None:
        return []
    versions = []
    before = (await life.ask("GET", path)).get("spec")
    patch = {"metadata": {"annotations": {"patched-status": "true"}}, "status": wanted}
    patched = await life.ask("PATCH", f"{path}/status", patch, headers=MERGE)
    assert holds(patched, {"status": wanted} if wanted else {})
    versions.append(patched["metadata"]["resourceVersion"])
    found = await life.ask("GET", f"{path}/status")
    assert found["kind"] == life.kind
    assert found.get("status") == patched.get("status")
    found["metadata"].setdefault("annotations", {})["put-status"] = "true"
    if wanted.get("conditions"):
        found["status"]["conditions"][-1]["message"] = "Put"
    put = await life.ask("PUT", f"{path}/status", found)
    if wanted.get("conditions"):
        assert put["status"]["conditions"][-1]["message"] == "Put"
    assert put.get("spec") == before
    return versions


def _check_told(life: Life, versions: list[str], events: list[Any]) -> None:
    """The watch told every version of the first object, in order, then that each was gone."""
    assert {e["type"] for e in events} == {"ADDED", "MODIFIED", "DELETED"}
    mine = [e for e in events if e["object"]["metadata"]["name"] == life.names[0]]
    assert (mine[0]["type"], mine[-1]["type"]) == ("ADDED", "DELETED")
    told = [e["object"]["metadata"]["resourceVersion"] for e in mine]
    assert [v for v in told if v in versions] == versions
    assert all(e["object"]["kind"] == life.kind for e in events)
