"""A namespace to try things in: create, read, change, wait."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rest import Api

MERGE = {"Content-Type": "application/merge-patch+json"}
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

    async def delete(self, path: str, policy: str = "Background") -> Any:
        return await self.ask("DELETE", path, {"propagationPolicy": policy})

    async def wait(self, path: str, holds: Callable[[Any], bool]) -> Any:
        """Until it holds of the object, or of None when that is gone."""
        found = None
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not holds(found := await self.get(path)):  # noqa: ASYNC110
                    await asyncio.sleep(0.03)
        except TimeoutError:
            raise AssertionError(f"{path}: {found}") from None
        return found


def pod_spec(**fields: Any) -> Any:
    return {"containers": [{"name": "c", "image": "sagong.local/busybox:1"}], **fields}


def template(**labels: str) -> Any:
    return {"metadata": {"labels": labels}, "spec": pod_spec()}
