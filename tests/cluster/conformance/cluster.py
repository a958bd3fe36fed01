"""What a conformance test works with: the shared cluster, and a namespace in it."""

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sagong.api.errors import ApiError, NotFound
from sagong.api.types import Obj
from sagong.client.client import Client

WAIT_SECONDS = 90.0
_LOOK_AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command left."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """The shared cluster: three nodes, each in a network namespace of its own."""

    kubeconfig: Path
    data_dir: Path
    run_dir: Path
    nodes: tuple[str, ...]

    async def kubectl(
        self, *arguments: str, stdin: str | None = None, env: Mapping[str, str] | None = None
    ) -> Finished:
        """kubectl once, whatever its exit code."""
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            "--kubeconfig",
            str(self.kubeconfig),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        async with asyncio.timeout(WAIT_SECONDS):
            out, err = await process.communicate(None if stdin is None else stdin.encode())
        return Finished(process.returncode or 0, out.decode(), err.decode(errors="replace"))

    def network_namespace(self, node: str) -> Path:
        """Of a node, for ``nsenter --net=``."""
        return Path(f"/run/netns/sagong-{node}")


@dataclass(frozen=True, slots=True)
class Space:
    """A namespace of one test. Resources are named as for Client: ``pods``, ``jobs.batch``."""

    name: str
    cluster: Cluster
    client: Client  # an administrator's, over HTTPS

    async def create(self, resource: str, obj: Obj) -> Obj:
        metadata = {"namespace": self.name, **obj["metadata"]}
        return await self.client.create(resource, {**obj, "metadata": metadata})

    async def get(self, resource: str, name: str) -> Obj:
        return await self.client.get(resource, name, namespace=self.name)

    async def listed(self, resource: str, **selectors: str) -> list[Obj]:
        """``label_selector`` and ``field_selector`` narrow the list."""
        listing = await self.client.list(resource, namespace=self.name, **selectors)  # type: ignore[arg-type]
        return [item.obj for item in listing.items]

    async def patch(self, resource: str, name: str, patch: Obj, subresource: str = "") -> Obj:
        """A merge patch."""
        return await self.client.patch(
            resource, name, patch, namespace=self.name, subresource=subresource
        )

    async def wait(self, resource: str, name: str, holds: Callable[[Obj], bool]) -> Obj:
        """The object once a condition on it holds; fails the test with what it was otherwise."""
        obj: Obj = {}
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    try:
                        obj = await self.get(resource, name)
                    except NotFound:
                        obj = {}
                    if obj and holds(obj):
                        return obj
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        except TimeoutError:
            told = json.dumps(obj.get("status", obj), indent=1)
            pytest.fail(f"{resource} {name} is {told}\n{await self._told()}")

    async def wait_gone(self, resource: str, name: str) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    await self.get(resource, name)
                except NotFound:
                    return
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def run(self, pod: Obj, holds: Callable[[Obj], bool]) -> Obj:
        """Create a pod and wait until a condition on it holds."""
        await self.create("pods", pod)
        return await self.wait("pods", pod["metadata"]["name"], holds)

    async def delete(self, resource: str, name: str, **options: Any) -> None:
        """Delete, and wait until it is gone."""
        await self.client.delete(resource, name, namespace=self.name, **options)
        await self.wait_gone(resource, name)

    async def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints in this namespace; fails the test if it fails."""
        done = await self.cluster.kubectl("-n", self.name, *arguments, stdin=stdin)
        assert done.code == 0, f"kubectl {' '.join(arguments)}: {done.err or done.out}"
        return done.out

    async def logs(self, pod: str, container: str = "", *flags: str) -> str:
        return await self.kubectl("logs", pod, *(("-c", container) if container else ()), *flags)

    async def shell(self, pod: str, script: str, container: str = "") -> str:
        """What a script prints inside a pod; fails the test if it fails."""
        done = await self.try_shell(pod, script, container)
        assert done.code == 0, f"{script}: {done.code}: {done.err or done.out}"
        return done.out

    async def try_shell(self, pod: str, script: str, container: str = "") -> Finished:
        """A script inside a pod, whatever its exit code."""
        where: Sequence[str] = ("-c", container) if container else ()
        return await self.cluster.kubectl(
            "-n", self.name, "exec", pod, *where, "--", "sh", "-c", script
        )

    async def events(self, name: str) -> list[tuple[str, str]]:
        """(reason, message) of the events about an object of this name."""
        return [
            (e["reason"], e["message"])
            for e in await self.listed("events", field_selector=f"involvedObject.name={name}")
        ]

    async def wait_event(self, name: str, reason: str, text: str = "") -> str:
        """The message of the first event of this reason whose message contains the text."""
        seen: list[tuple[str, str]] = []
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    seen = await self.events(name)
                    for given, message in seen:
                        if given == reason and text in message:
                            return message
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        except TimeoutError:
            pytest.fail(f"no event {reason} {text!r} about {name}, but {seen}")

    async def _told(self) -> str:
        """The namespace's latest events, for whoever reads a failure."""
        try:
            events = await self.listed("events")
        except ApiError as error:
            return str(error)
        lines = [f"{e['involvedObject']['name']}: {e['reason']}: {e['message']}" for e in events]
        return "\n".join(lines[-15:])
