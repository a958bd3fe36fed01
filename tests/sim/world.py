"""A whole control plane in virtual time, with nodes whose kubelet only pretends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sagong.api.call import Answer, Call
from sagong.api.errors import Conflict, NotFound
from sagong.api.meta import (
    annotations_of,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    resource_version_of,
    uid_of,
)
from sagong.api.types import Key, Obj, User
from sagong.client.client import Client
from sagong.client.in_process import Dispatch, InProcess
from sagong.cmd.control_plane import control_plane
from sagong.controllers.configured import Settings
from sagong.core.clock import LoopClock, format_time
from sagong.core.ids import SeededIds
from sagong.core.tasks import Tasks, task_group
from sagong.ctl.informer import SharedCache
from sagong.server.assembly import Parts, api_server
from sagong.server.bootstrap.reconcile import SERVER_USER, reconcile_bootstrap
from sagong.server.security import SecuritySettings, security_builder
from sagong.store.drivers.memory import MemoryStore

EPOCH = 1_767_225_600.0  # 2026-01-01
ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
# A pod's annotation: it ends after so many seconds, with this exit code.
RUNS_SECONDS = "sim/runs-seconds"
EXIT_CODE = "sim/exit-code"
START_SECONDS = 2.0
STOP_SECONDS = 1.0


# Made once: keys take longer to make than a whole test to run.
_ACCOUNT_KEY = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)


class NoSigner:
    """Nobody asks for certificates here."""

    def issue_client_certificate(
        self, csr_pem: bytes, ttl_seconds: float | None, usages: Sequence[str]
    ) -> bytes:
        raise ValueError("no certificates in this world")


@dataclass(slots=True)
class World:
    """What a test sees: a client, the cache, and a look at every change of pods."""

    client: Client
    cache: SharedCache
    clock: LoopClock
    client_of: Callable[[User], Client]
    # Called with the pods of the cluster at every change of one; raise to fail the test.
    checks: list[Callable[[Sequence[Obj]], None]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def pods(self, selector: Callable[[Obj], bool] = lambda pod: True) -> list[Obj]:
        return [pod for pod in self.cache.list("pods") if selector(pod)]

    async def wait(self, condition: Callable[[], bool], seconds: float = 600.0) -> None:
        """Until it holds; virtual seconds."""
        async with asyncio.timeout(seconds):
            # Virtual time costs nothing, and this waits for conditions of any kind.
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.25)
        assert not self.broken, self.broken[0]

    def get(self, resource: str, name: str) -> Obj:
        found = self.cache.get(resource, "default", name)
        assert found is not None, f"no {resource} {name}"
        return found

    def status(self, resource: str, name: str) -> Obj:
        return self.get(resource, name).get("status") or {}

    def events(self, reason: str) -> list[str]:
        found = [e for e in self.cache.list("events") if e["reason"] == reason]
        return [e["message"] for e in found]

    async def create(self, resource: str, obj: Obj) -> Obj:
        """Create, and wait until the cache has it."""
        return await self._seen(resource, await self.client.create(resource, obj))

    async def change(self, resource: str, name: str, patch: Obj) -> Obj:
        """Patch in the namespace default, and wait until the cache has it."""
        made = await self.client.patch(resource, name, patch, namespace="default")
        return await self._seen(resource, made)

    async def _seen(self, resource: str, obj: Obj) -> Obj:
        await self.cache.wait_revision(resource, resource_version_of(obj))
        return obj

    def look(self, old: Obj | None, new: Obj | None) -> None:
        for check in self.checks:
            try:
                check(self.pods())
            except AssertionError as error:
                self.broken.append(str(error))


# An API server beside ours, as metrics adapters are: its answer, or None for what is not its own.
Adapter = Callable[[Call], Answer | None]


def behind(dispatch: Dispatch, adapter: Adapter | None) -> Dispatch:
    """Calls go to the adapter first, as an aggregating server sends them on."""

    async def dispatched(call: Call, user: User) -> Answer:
        answer = adapter(call) if adapter is not None else None
        return answer if answer is not None else await dispatch(call, user)

    return dispatched


@contextlib.asynccontextmanager
async def world(
    *, nodes: int = 3, seed: int = 0, adapter: Adapter | None = None
) -> AsyncIterator[World]:
    """Server, controllers, scheduler and pretended nodes, on a virtual loop."""
    clock, ids = LoopClock(EPOCH), SeededIds(seed)
    settings = SecuritySettings(
        clock=clock,
        ids=ids,
        service_cidr="10.96.0.0/16",
        static_tokens={},
        account_key_pem=_ACCOUNT_KEY,
    )
    store = MemoryStore()
    async with api_server(Parts(store, clock, ids, security_builder(settings))) as core:
        await reconcile_bootstrap(core.server.registry, SERVER_USER, core.caches)
        client = Client(InProcess(core.server.dispatch, ADMIN), core.resources)
        controllers = Settings("no certificate", NoSigner(), node_grace_seconds=1e9)
        dispatch, resources = behind(core.server.dispatch, adapter), core.resources
        cache = SharedCache(client, ids)
        for resource in _WATCHED:
            cache.declare(resource)

        def client_of(user: User) -> Client:
            return Client(InProcess(core.server.dispatch, user), core.resources)

        seen = World(client, cache, clock, client_of)
        async with (
            control_plane(dispatch, resources, controllers, clock, ids),
            task_group() as tasks,
        ):
            tasks.start(cache.run(), name="test cache")
            await cache.wait_synced()
            cache.on_change("pods", seen.look)
            for number in range(nodes):
                await register(client, node(f"node-{number}"), clock)
            cache.on_change("pods", Kubelet(seen, tasks).changed)
            await seen.wait(lambda: cache.get("serviceaccounts", "default", "default") is not None)
            yield seen
    await store.close()


_WATCHED = (
    "pods",
    "nodes",
    "events",
    "serviceaccounts",
    "persistentvolumeclaims",
    "deployments.apps",
    "replicasets.apps",
    "replicationcontrollers",
    "statefulsets.apps",
    "daemonsets.apps",
    "controllerrevisions.apps",
    "jobs.batch",
    "cronjobs.batch",
    "poddisruptionbudgets.policy",
    "horizontalpodautoscalers.autoscaling",
)


def node(name: str) -> Obj:
    amounts = {"cpu": "64", "memory": "256Gi", "pods": "1000"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready]},
    }


async def register(client: Client, obj: Obj, clock: LoopClock) -> None:
    """Create a node and report it ready, as a kubelet does."""
    await client.create("nodes", obj)
    now = format_time(clock.now())
    ready = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    conditions = [c | ready for c in obj["status"]["conditions"]]
    status = obj["status"] | {"conditions": conditions}
    await client.patch("nodes", name_of(obj), {"status": status}, subresource="status")


class Kubelet:
    """Starts bound pods, ends those that are to end, and lets go of deleted ones."""

    def __init__(self, seen: World, tasks: Tasks) -> None:
        self._world = seen
        self._tasks = tasks
        self._known: dict[str, set[str]] = {}

    def changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None or not new["spec"].get("nodeName"):
            return
        begun = self._known.setdefault(uid_of(new), set())
        if "start" not in begun:
            begun.add("start")
            self._tasks.start(self._run(key_of(new), uid_of(new)), name=f"start {name_of(new)}")
        if is_deleting(new) and "stop" not in begun:
            begun.add("stop")
            self._tasks.start(self._stop(new), name=f"stop {name_of(new)}")

    async def _run(self, key: Key, uid: str) -> None:
        await asyncio.sleep(START_SECONDS)
        pod = await self._set(key, uid, "Running")
        if pod is None or RUNS_SECONDS not in annotations_of(pod):
            return
        await asyncio.sleep(float(annotations_of(pod)[RUNS_SECONDS]))
        code = int(annotations_of(pod).get(EXIT_CODE, "0"))
        await self._set(key, uid, "Failed" if code else "Succeeded", code)

    async def _stop(self, pod: Obj) -> None:
        await asyncio.sleep(STOP_SECONDS)
        key = key_of(pod)
        await self._set(key, uid_of(pod), "Failed", 143)
        try:
            await self._world.client.delete(
                "pods", key.name, namespace=key.namespace, grace_period_seconds=0, uid=uid_of(pod)
            )
        except (NotFound, Conflict):
            return

    async def _set(self, key: Key, uid: str, phase: str, code: int = 0) -> Obj | None:
        while True:
            pod = self._world.cache.get("pods", key.namespace, key.name)
            if pod is None or uid_of(pod) != uid:
                return None
            if pod["status"]["phase"] in ("Succeeded", "Failed"):
                return None
            status = pod["status"] | self._status(pod, phase, code)
            try:
                return await self._world.client.update(
                    "pods", pod | {"status": status}, subresource="status"
                )
            except NotFound:
                return None
            except Conflict:
                await asyncio.sleep(0.01)

    def _status(self, pod: Obj, phase: str, code: int) -> Obj:
        now = format_time(self._world.clock.now())
        running = phase == "Running" and not is_deleting(pod)
        kept = [c for c in pod["status"].get("conditions") or () if c["type"] == "PodScheduled"]
        ready = {
            "type": "Ready",
            "status": "True" if running else "False",
            "lastTransitionTime": now,
        }
        state: Obj = {"running": {"startedAt": now}}
        if not running:
            state = {"terminated": {"exitCode": code, "startedAt": now, "finishedAt": now}}
        containers = [
            {
                "name": c["name"],
                "image": c["image"],
                "imageID": "",
                "ready": running,
                "restartCount": 0,
                "state": state,
            }
            for c in pod["spec"]["containers"]
        ]
        return {"phase": phase, "conditions": [*kept, ready], "containerStatuses": containers}


def template(app: str, image: str = "one:1", **annotations: str) -> Obj:
    metadata: Obj = {"labels": {"app": app}}
    if annotations:
        metadata["annotations"] = annotations
    spec = {"containers": [{"name": "main", "image": image}]}
    return {"metadata": metadata, "spec": spec}


def workload(api_version: str, kind: str, name: str, **spec: object) -> Obj:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def images(pods: Iterable[Obj]) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in pods}


def available(pods: Iterable[Obj]) -> int:
    return sum(
        any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in p["status"].get("conditions") or ()
        )
        and not is_deleting(p)
        for p in pods
    )


def in_default(pod: Obj) -> bool:
    return namespace_of(pod) == "default"
