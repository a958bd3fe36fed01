"""A namespace to try things in: create, read, change, wait."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from rest import Api

from sagong.controllers.pods.state import is_ready
from sagong.core.tasks import task_group
from sagong.sim.lives import EXIT_CODE, RUNS_SECONDS

MERGE = {"Content-Type": "application/merge-patch+json"}
CONFLICTS_MAX = 20
WAIT_SECONDS = 15.0


@dataclass(slots=True)
class Space:
    """``path`` is relative: "configmaps/a", "apps/v1 deployments/web"."""

    api: Api
    name: str = ""

    async def make(self) -> "Space":
        """The namespace, with its default service account and root certificate."""
        labels = {"e2e-framework": "try", "e2e-run": "one"}
        body = {"metadata": {"generateName": "try-", "labels": labels}}
        self.name = (await self.ask("POST", "/api/v1/namespaces", body))["metadata"]["name"]
        for path in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
            await self.wait(path, lambda found: found is not None)
        return self

    def url(self, path: str) -> str:
        if path.startswith("/"):
            return path
        group, _, rest = path.rpartition(" ")
        base = f"/apis/{group}" if group else "/api/v1"
        return f"{base}/namespaces/{self.name}/{rest}"

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        answer = await self.api.call(method, self.url(path), body, **options)
        assert answer.status < 300, (method, path, answer.status, answer.text)
        return answer.body

    async def refused(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        answer = await self.api.call(method, self.url(path), body, **options)
        assert answer.status >= 400, (method, path, answer.text)
        return answer.body

    async def create(self, path: str, name: str, **fields: Any) -> Any:
        metadata = {"name": name} | fields.pop("metadata", {})
        return await self.ask("POST", path, {"metadata": metadata, **fields})

    async def get(self, path: str) -> Any:
        """The object, None if it is not there."""
        answer = await self.api.call("GET", self.url(path))
        assert answer.status in (200, 404), answer.text
        return answer.body if answer.status == 200 else None

    async def names(self, path: str) -> list[str]:
        return [o["metadata"]["name"] for o in (await self.ask("GET", path))["items"]]

    async def patch(self, path: str, patch: Any) -> Any:
        return await self.ask("PATCH", path, patch, headers=MERGE)

    async def change(self, path: str, change: Callable[[Any], None]) -> Any:
        """Read, change, PUT; again if a controller was there in between, as a client does."""
        for _ in range(CONFLICTS_MAX):
            found = await self.get(path)
            change(found)
            answer = await self.api.call("PUT", self.url(path), found)
            if answer.status != 409:
                break
        assert answer.status < 300, (path, answer.status, answer.text)
        return answer.body

    async def delete(self, path: str, policy: str = "Background") -> Any:
        return await self.ask("DELETE", path, {"propagationPolicy": policy})

    @contextlib.asynccontextmanager
    async def watching(self, path: str) -> AsyncIterator[list[Any]]:
        """What a watch of a list tells while the block runs, beginning with what is there."""
        events: list[Any] = []
        separator = "&" if "?" in path else "?"
        url = f"{self.api.url}{self.url(path)}{separator}watch=true"
        headers = {"Authorization": "Bearer admin-token"}

        async def collect() -> None:
            async with self.api.session.get(url, headers=headers, ssl=False) as answer:
                async for line in answer.content:
                    events.append(json.loads(line))  # noqa: PERF401 - who reads it does not wait

        try:
            async with task_group() as tasks:
                tasks.start(collect(), name=f"watch {path}")
                yield events
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def end(self, pod: Any, code: int = 0) -> None:
        """Let the containers of a pretended node's pod end by themselves, at once."""
        told = {RUNS_SECONDS: "0", EXIT_CODE: str(code)}
        answer = await self.api.call(
            "PATCH",
            self.url(f"pods/{pod['metadata']['name']}"),
            {"metadata": {"annotations": told, "uid": pod["metadata"]["uid"]}},
            headers=MERGE,
        )
        assert answer.status in (200, 404, 409), answer.text

    @contextlib.asynccontextmanager
    async def ending(self, code_of: Callable[[Any], int | None]) -> AsyncIterator[None]:
        """While the block runs each pod ends as soon as it runs, with its code; None: it stays."""
        async with self.watching("pods") as events, task_group() as tasks:
            tasks.start(self._end_all(events, code_of), name="ending pods")
            yield

    async def _end_all(self, events: list[Any], code_of: Callable[[Any], int | None]) -> None:
        told, seen = set(), 0
        while True:
            for event in events[seen:]:
                pod, seen = event["object"], seen + 1
                uid, code = pod["metadata"].get("uid"), code_of(pod)
                if code is not None and is_ready(pod) and uid not in told:
                    told.add(uid)
                    await self.end(pod, code)
            await asyncio.sleep(0.02)

    async def wait(self, path: str, holds: Callable[[Any], bool]) -> Any:
        """Until it holds of the object, or of None when that is gone."""
        found = None
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not holds(found := await self.get(path)):  # noqa: ASYNC110
                    await asyncio.sleep(0.03)
        except TimeoutError:
            raise AssertionError(f"{path}: {_without_managers(found)}") from None
        return found


def _without_managers(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_managers(v) for k, v in value.items() if k != "managedFields"}
    return [_without_managers(v) for v in value] if isinstance(value, list) else value


async def wait_deleted(events: list[Any]) -> None:
    """Until a watch has told of an end: it may be behind what a GET shows."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not events or events[-1]["type"] != "DELETED":  # noqa: ASYNC110
                await asyncio.sleep(0.03)
    except TimeoutError:
        raise AssertionError([e["type"] for e in events]) from None


def pod_spec(**fields: Any) -> Any:
    return {"containers": [{"name": "c", "image": "sagong.local/busybox:1"}], **fields}


def template(**labels: str) -> Any:
    return {"metadata": {"labels": labels}, "spec": pod_spec()}


def condition(obj: Any, type_: str) -> Any:
    """The condition if it is True, with its reason and message."""
    found = (obj["status"] or {}).get("conditions") or ()
    return next((c for c in found if c["type"] == type_ and c["status"] == "True"), None)
