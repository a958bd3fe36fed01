"""Pretended nodes: at the API they do what kubelets do; no container runs. Thousands a process.

One shared watch of pods serves all nodes, heartbeats go out in slices, and every write is a real
API call under the node's own identity (or, against a server over HTTPS, under the one given). Works
in virtual and in real time.
"""

import asyncio
import heapq
import itertools
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sagong.api import errors
from sagong.api.call import PatchType
from sagong.api.meta import annotations_of, is_deleting, key_of, uid_of
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.clock import Clock, format_micro_time, format_time
from sagong.core.ids import Ids
from sagong.core.tasks import Tasks, task_group
from sagong.ctl.informer import SharedCache
from sagong.sim.lives import USUAL, Life, Profile, Stage

log = logging.getLogger(__name__)

LEASES = "leases.coordination.k8s.io"
LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
RENEWALS = 4  # within the time of a lease, as the kubelet does
STATUS_SECONDS = 300.0  # the kubelet's nodeStatusReportFrequency
TICK_SECONDS = 0.5  # heartbeats go out in slices this long
WRITES_MAX = 64  # under way at once; past it further ones wait their turn
RETRY_SECONDS = 1.0
SIMULATED = "sagong.dev/simulated"  # the label by which such nodes are told apart
NO_KUBELET_PORT = 1  # nobody listens there: logs and metrics are refused at once


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """What the nodes are like."""

    count: int
    prefix: str = "node-"
    cpu: str = "32"
    memory: str = "128Gi"
    pods: str = "110"
    zones: int = 3
    profile: Profile = USUAL
    seed: int = 0
    heartbeats: bool = True
    lease_seconds: int = LEASE_SECONDS  # the kubelet's nodeLeaseDurationSeconds
    labels: Mapping[str, str] = field(default_factory=lambda: {SIMULATED: "true"})


@dataclass(slots=True)
class SimulatedNode:
    """One node, as far as it differs from others."""

    name: str
    number: int
    client: Client
    beat_at: float = 0.0  # monotonic
    status_at: float = 0.0
    registered: bool = False
    silent: bool = False
    lease: Obj | None = None
    lives: dict[str, Life] = field(default_factory=dict)
    addresses: Iterable[int] = field(default_factory=itertools.count)

    @property
    def ip(self) -> str:
        """Of loopback: who asks a node that is not there must not ask the network."""
        number = self.number + 1
        return f"127.{128 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


class Fleet:
    """All pretended nodes of a process."""

    def __init__(
        self,
        config: FleetConfig,
        watching: Client,
        client_for: Callable[[str], Client],
        clock: Clock,
        ids: Ids,
    ) -> None:
        """``watching`` must be allowed to watch all pods; ``client_for`` is asked once a node."""
        self.config = config
        self.nodes: dict[str, SimulatedNode] = {}
        self._client_for = client_for
        self._clock = clock
        self._random = random.Random(config.seed)
        self._cache = SharedCache(watching, ids)
        self._cache.declare("pods")
        self._due: list[tuple[float, int, str]] = []
        self._sequence = itertools.count()
        self._lives: dict[str, Life] = {}
        self._busy: set[str] = set()
        self._wakeup = asyncio.Event()
        self._writes = asyncio.Semaphore(WRITES_MAX)
        self._ready = asyncio.Event()
        for number in range(config.count):
            self.add(f"{config.prefix}{number}")

    def add(self, name: str) -> None:
        """One more node; it registers itself."""
        number = len(self.nodes)
        node = SimulatedNode(name, number, self._client_for(name))
        # Spread over the period, as nodes are that were started one by one.
        node.beat_at = self._clock.monotonic() if self._ready.is_set() else 0.0
        self.nodes[name] = node

    async def run(self) -> None:
        """Until cancelled."""
        self._cache.on_change("pods", self._changed)
        async with task_group() as tasks:
            tasks.start(self._cache.run(), name="fleet cache")
            await self._beat_all(tasks)
            self._ready.set()
            tasks.start(self._beat_forever(tasks), name="heartbeats")
            await self._run_due(tasks)

    async def wait_registered(self) -> None:
        """Until every node has been registered once."""
        await self._ready.wait()

    # What a test does to nodes

    def silence(self, name: str) -> None:
        """The node hears and says nothing any more; its containers run on."""
        self.nodes[name].silent = True

    def kill(self, name: str) -> None:
        """The machine is dead, and its containers with it."""
        node = self.nodes[name]
        node.silent = True
        now = self._clock.now()
        for uid, life in tuple(node.lives.items()):
            pod = self._pod(life)
            if pod is None:
                self._drop(uid)
            else:
                life.lose_containers(pod, now)

    def revive(self, name: str) -> None:
        """It is back: it takes up what the API says now."""
        node = self.nodes[name]
        node.silent, node.lease = False, None
        node.beat_at = node.status_at = self._clock.monotonic()
        for life in tuple(node.lives.values()):
            if self._pod(life) is None:
                self._drop(life.uid)
        for pod in self._cache.list("pods"):
            if pod["spec"].get("nodeName") == name:
                self._changed(None, pod)
                self._schedule(uid_of(pod), 0.0)

    def remove(self, name: str) -> None:
        """The machine is taken away for good; its Node object is somebody else's to delete."""
        node = self.nodes.pop(name)
        for uid in tuple(node.lives):
            self._drop(uid)

    def running(self) -> list[Life]:
        """The pods whose containers run somewhere, on silent nodes too."""
        return [life for life in self._lives.values() if life.is_running()]

    # Heartbeats

    async def _beat_forever(self, tasks: Tasks) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self.config.heartbeats:
                await self._beat_all(tasks)

    async def _beat_all(self, tasks: Tasks) -> None:
        now = self._clock.monotonic()
        first = not self._ready.is_set()
        due = [n for n in self.nodes.values() if not n.silent and n.beat_at <= now]
        started = []
        for node in due:
            spread = self._random.random() if first else 1.0
            node.beat_at = now + self.config.lease_seconds / RENEWALS * spread
            started.append(tasks.start(self._beat(node), name=f"heartbeat {node.name}"))
        for task in started:
            await task

    async def _beat(self, node: SimulatedNode) -> None:
        """Register, say that the node is well, renew the lease: what of it is due."""
        async with self._writes:
            try:
                if not node.registered:
                    # The lease comes with the next beat: until then the status is young enough.
                    await self._register(node)
                    return
                if node.status_at <= self._clock.monotonic():
                    await self._write_status(node)
                if self.config.heartbeats:
                    await self._renew(node)
            except errors.ApiError as error:
                log.debug("%s: %s", node.name, error.message)
                node.lease = None
                node.beat_at = self._clock.monotonic() + RETRY_SECONDS

    async def _register(self, node: SimulatedNode) -> None:
        """Create the node with its status, as it may be; one that is there is told its status."""
        labels = {
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": node.name,
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": f"zone-{node.number % self.config.zones}",
            **self.config.labels,
        }
        obj = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": node.name, "labels": labels},
            "status": self._status(node, {}),
        }
        try:
            await node.client.create("nodes", obj)
            node.status_at = self._clock.monotonic() + STATUS_SECONDS
        except errors.AlreadyExists:
            log.debug("%s is registered already", node.name)
            await self._write_status(node)
        node.registered = True

    async def _write_status(self, node: SimulatedNode) -> None:
        await node.client.patch(
            "nodes",
            node.name,
            {"status": self._status(node, await self._current(node))},
            subresource="status",
            patch_type=PatchType.STRATEGIC,
        )
        node.status_at = self._clock.monotonic() + STATUS_SECONDS

    def _status(self, node: SimulatedNode, conditions: dict[str, Obj]) -> Obj:
        config = self.config
        amounts = {"cpu": config.cpu, "memory": config.memory, "pods": config.pods}
        return {
            "capacity": amounts,
            "allocatable": amounts,
            "addresses": [
                {"type": "InternalIP", "address": node.ip},
                {"type": "Hostname", "address": node.name},
            ],
            "conditions": _conditions(conditions, format_time(self._clock.now())),
            "nodeInfo": _NODE_INFO,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": NO_KUBELET_PORT}},
        }

    async def _current(self, node: SimulatedNode) -> dict[str, Obj]:
        obj = await node.client.get("nodes", node.name)
        return {c["type"]: c for c in (obj.get("status") or {}).get("conditions") or ()}

    async def _renew(self, node: SimulatedNode) -> None:
        now = format_micro_time(self._clock.now())
        spec = {
            "holderIdentity": node.name,
            "leaseDurationSeconds": self.config.lease_seconds,
            "renewTime": now,
        }
        if node.lease is None:
            metadata = {"name": node.name, "namespace": LEASE_NAMESPACE}
            lease: Obj = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
            lease |= {"metadata": metadata, "spec": spec}
            try:
                node.lease = await node.client.create(LEASES, lease)
            except errors.AlreadyExists:
                node.lease = await node.client.get(LEASES, node.name, namespace=LEASE_NAMESPACE)
        if node.lease["spec"].get("renewTime") != now:
            node.lease = await node.client.update(LEASES, {**node.lease, "spec": spec})

    # Pods

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        obj = new or old
        assert obj is not None
        node = self.nodes.get(obj["spec"].get("nodeName") or "")
        if node is None or node.silent:
            return
        uid = uid_of(obj)
        if new is None:
            self._drop(uid)
            return
        life = self._lives.get(uid)
        if life is None:
            ended = (new.get("status") or {}).get("phase") in ("Succeeded", "Failed")
            if ended and not is_deleting(new):
                return
            life = self._adopt(new, node)
            self._schedule(uid, 0.0)
        elif life.is_contradicted(new):
            # Somebody else wrote: the node knows better, and says so again (kubelets reconcile).
            self._schedule(uid, 0.0)
        elif old is not None and annotations_of(old) != annotations_of(new):
            life.note_annotations(new, self._clock.now())
            self._schedule(uid, 0.0)
        if is_deleting(new):
            # A shorter grace period may come later: a second delete says so.
            life.note_deletion(new, self._clock.now())
            self._schedule(uid, life.stops_at - self._clock.now())

    def _adopt(self, pod: Obj, node: SimulatedNode) -> Life:
        number = next(iter(node.addresses))
        index = node.number
        ip = f"10.{64 + (index >> 8 & 63)}.{index & 255}.{number % 254 + 1}"
        uid = uid_of(pod)
        life = Life(
            key=key_of(pod),
            uid=uid,
            node=node.name,
            node_ip=node.ip,
            ip=ip,
            began_at=self._clock.now(),
            random=random.Random(f"{self.config.seed} {uid}"),
            profile=self.config.profile,
        )
        self._lives[uid] = node.lives[uid] = life
        return life

    def _drop(self, uid: str) -> None:
        life = self._lives.pop(uid, None)
        if life is not None:
            life.stage = Stage.GONE
            node = self.nodes.get(life.node)
            if node is not None:
                node.lives.pop(uid, None)

    def _pod(self, life: Life) -> Obj | None:
        pod = self._cache.get("pods", life.key.namespace, life.key.name)
        return pod if pod is not None and uid_of(pod) == life.uid else None

    def _schedule(self, uid: str, seconds: float) -> None:
        heapq.heappush(self._due, (self._clock.monotonic() + seconds, next(self._sequence), uid))
        self._wakeup.set()

    async def _run_due(self, tasks: Tasks) -> None:
        while True:
            now = self._clock.monotonic()
            while self._due and self._due[0][0] <= now:
                uid = heapq.heappop(self._due)[2]
                if uid in self._busy:
                    self._schedule(uid, TICK_SECONDS / 10)
                elif uid in self._lives:
                    self._busy.add(uid)
                    tasks.start(self._step(self._lives[uid]), name=f"pod {uid}")
            self._wakeup.clear()
            delay = self._due[0][0] - self._clock.monotonic() if self._due else None
            try:
                async with asyncio.timeout(delay if delay is None else max(0.0, delay)):
                    await self._wakeup.wait()
            except TimeoutError:
                continue

    async def _step(self, life: Life) -> None:
        """One stage further, and say so; what could not be said is said again later."""
        try:
            async with self._writes:
                node, pod = self.nodes.get(life.node), self._pod(life)
                if node is None or node.silent or pod is None or life.stage is Stage.GONE:
                    return
                await self._live(life, pod, node.client)
        except errors.NotFound:
            log.debug("%s is gone", life.key)
        except errors.ApiError as error:
            log.debug("%s: %s", life.key, error.message)
            self._schedule(life.uid, RETRY_SECONDS * (0.5 + self._random.random()))
        finally:
            self._busy.discard(life.uid)

    async def _live(self, life: Life, pod: Obj, client: Client) -> None:
        now = self._clock.now()
        if life.deleting:
            if now < life.stops_at:
                self._schedule(life.uid, life.stops_at - now)
                return
            life.stop(now)
            await self._report(life, pod, client)
            await client.delete(
                "pods",
                life.key.name,
                namespace=life.key.namespace,
                grace_period_seconds=0,
                uid=life.uid,
            )
            return
        # Stages that take no time are gone through at once, and told in one go.
        while life.due_at <= now:
            wait = life.advance(pod, now) if life.told else life.first_wait_seconds(pod)
            life.due_at = float("inf") if wait is None else now + wait
            life.told = True
        if life.due_at != float("inf"):
            self._schedule(life.uid, life.due_at - now)
        await self._report(life, pod, client)

    async def _report(self, life: Life, pod: Obj, client: Client) -> None:
        status = life.status(pod, self._clock.now())
        patch = {"metadata": {"uid": life.uid}, "status": status}
        await client.patch(
            "pods",
            life.key.name,
            patch,
            namespace=life.key.namespace,
            patch_type=PatchType.STRATEGIC,
            subresource="status",
        )


_HEALTHY = {
    "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory"),
    "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    "Ready": ("True", "KubeletReady", "kubelet is posting ready status"),
}
_NODE_INFO: dict[str, Any] = {
    "machineID": "",
    "systemUUID": "",
    "bootID": "",
    "kernelVersion": "simulated",
    "osImage": "simulated",
    "containerRuntimeVersion": "sim://1",
    "kubeletVersion": "v1.36.2",
    "kubeProxyVersion": "",
    "operatingSystem": "linux",
    "architecture": "amd64",
}


def _conditions(current: dict[str, Obj], now: str) -> list[Obj]:
    made = []
    for type_, (status, reason, message) in _HEALTHY.items():
        old = current.get(type_, {})
        since = old.get("lastTransitionTime") if old.get("status") == status else now
        made.append(
            {
                "type": type_,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": since or now,
            }
        )
    return made
