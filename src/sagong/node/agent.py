"""The node agent: registers the node, keeps its lease, and gives every pod of it a worker.

It reaches the API through a client only, and the containers through the CRI only. Killed at any
instant and started again, it finds the containers by their labels and goes on with them; pods that
the API has lost meanwhile are removed.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from sagong.api.errors import ApiError
from sagong.api.meta import key_of, uid_of
from sagong.api.quantities import parse
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.core.supervision import supervised
from sagong.core.tasks import Tasks, task_group
from sagong.ctl.events import Recorder
from sagong.ctl.informer import SharedCache
from sagong.node.alignment.aligner import Aligner
from sagong.node.alignment.cpu_books import CpuBooks
from sagong.node.alignment.keeping import CpuKeeper
from sagong.node.alignment.memory_books import MemoryBooks
from sagong.node.alignment.topology import Topology, read_topology
from sagong.node.api_objects import ApiObjects
from sagong.node.config import NodeConfig
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeFailure
from sagong.node.devices.pod_resources import PodResources
from sagong.node.devices.pool import DevicePool
from sagong.node.devices.registration import DeviceRegistration
from sagong.node.dra.books import ClaimBooks
from sagong.node.dra.cdi import knows_cdi
from sagong.node.dra.claims import PodClaims
from sagong.node.dra.drivers import DraDrivers
from sagong.node.eviction.evictor import Evictor
from sagong.node.eviction.evictor import Node as EvictionNode
from sagong.node.following import RuntimeFollower
from sagong.node.images.collector import ImageCollector
from sagong.node.images.puller import ImagePuller
from sagong.node.machine import Machine, has_app_armor, read_machine
from sagong.node.narrowed import NarrowedClient
from sagong.node.node_object import (
    Health,
    allocatable,
    node_status,
    problem_with_machine,
    with_volumes_in_use,
)
from sagong.node.plugins.channel import PluginFailure
from sagong.node.pods.admission import Features
from sagong.node.pods.cgroups import CgroupTree
from sagong.node.pods.cleaning import Cleaner
from sagong.node.pods.container_mounts import ContainerMounts
from sagong.node.pods.downward import NodeFacts
from sagong.node.pods.launcher import Launcher
from sagong.node.pods.log_rotation import rotate_logs
from sagong.node.pods.mirror import Mirror
from sagong.node.pods.model import SeenPod
from sagong.node.pods.references import node_reference
from sagong.node.pods.runtime_view import RuntimeView
from sagong.node.pods.tenancy import Tenancy
from sagong.node.pods.termination import Stopper
from sagong.node.pods.worker import Guard, PodWorker, Workshop
from sagong.node.probes.counts import ProbeCounts
from sagong.node.registration import Registration
from sagong.node.shutdown.login import Login
from sagong.node.shutdown.shutdown import STATUS as SHUTDOWN_STATUS
from sagong.node.shutdown.shutdown import GracefulShutdown
from sagong.node.static_pods import StaticPods, is_mirror
from sagong.node.volumes.image_volume import Runtime
from sagong.node.volumes.storage import node_storage

log = logging.getLogger(__name__)

USER_AGENT = "kubelet"
RUNTIME_WAIT_SECONDS = 0.2
REFRESHES_AT_ONCE = 4  # pods whose volumes are refreshed together: a slow driver holds up no other
HOUSEKEEPING_SECONDS = 10.0
IMAGE_GC_SECONDS = 300.0  # upstream's imageGCPeriod
PLEG_UNHEALTHY_SECONDS = 180.0


async def _no_guard(pod: Obj, ip: str) -> None:
    """Without network policies there is nothing to wait for."""


class NodeAgent:
    """One node. ``run`` ends only when cancelled; containers then go on."""

    def __init__(self, config: NodeConfig, client: Client, *, clock: Clock, ids: Ids) -> None:
        self.config = config
        self.workers: dict[str, PodWorker] = {}
        # Called with each pod that has got an address, before a container of it starts.
        self.guard: Guard = _no_guard
        self._clock = clock
        self._ids = ids
        self._client = NarrowedClient(
            client,
            {"pods": f"spec.nodeName={config.name}"},
            user_agent=USER_AGENT,
        )
        self.cri = CriClient(config.runtime_endpoint)
        self.cache = SharedCache(self._client, ids)
        # Nodes are all of them: the network part of the agent's process shares this cache.
        for resource in ("pods", "services", "nodes"):
            self.cache.declare(resource)
        self.events = Recorder(
            self._client, component="kubelet", clock=clock, ids=ids, host=config.name
        )
        self.view = RuntimeView(self.cri)
        self.cgroups = CgroupTree(config.cgroup_mount, config.cgroup_root)
        self.registration = Registration(config, self._client, clock, ids)
        self._follower = RuntimeFollower(
            self.cri,
            self.view,
            clock,
            relist_seconds=config.relist_seconds,
            wake=self._wake,
            is_looked_after=self._is_looked_after,
        )
        self._ready = asyncio.Event()
        self._status_due = asyncio.Event()
        self._images = ImageCollector(config, self.cri, clock)
        self.evictor = Evictor(self._eviction_node(), self._note_pressures)
        self.shutdown = GracefulShutdown(
            config.shutdown,
            Login(config.logind_settings_dir),
            lambda: self.workers,
            self._shutting_down,
        )
        self._tenancy: Tenancy | None = None
        self.probe_counts = ProbeCounts()
        topology = read_topology()
        self._devices = DevicePool(
            config.data_dir / "device-plugins", topology, self._devices_changed
        )
        self.aligner = self._make_aligner(topology)
        self._keeper = CpuKeeper(self.aligner, self.cri, self._seen_pods)
        drivers = DraDrivers(
            config.name, self._client, self._claims_changed, config.slice_wipe_seconds
        )
        self.claims = PodClaims(self._client, drivers, ClaimBooks(config.data_dir))
        self.storage = node_storage(
            config,
            self._client,
            clock,
            node=self._node,
            use_changed=self._status_due.set,
            handlers={"DRAPlugin": drivers},
        )

    def _devices_changed(self, resource: str) -> None:
        self._status_due.set()
        for uid in self._devices.holders(resource):
            self._wake(uid)

    def _claims_changed(self, driver: str) -> None:
        for uid in self.claims.pods_of(driver):
            self._wake(uid)

    def _make_aligner(self, topology: Topology) -> Aligner:
        config = self.config
        if problem := problem_with_machine(config, topology):
            raise ValueError(problem)
        cpus = CpuBooks(
            topology,
            config.alignment,
            config.data_dir,
            reserved_milli=parse(config.reserved.get("cpu", "0")).milli_value,
            changed=lambda: self._keeper.due.set(),
        )
        memory = MemoryBooks(topology, config.alignment, config.data_dir)
        return Aligner(topology, config.alignment, self._devices, cpus, memory)

    def _seen_pods(self) -> Iterable[SeenPod]:
        return map(self.view.pod, self.view.uids())

    def _eviction_node(self) -> EvictionNode:
        return EvictionNode(
            config=self.config,
            cri=self.cri,
            view=self.view,
            cgroups=self.cgroups,
            clock=self._clock,
            events=self.events,
            images=self._images,
            tenants=lambda: tuple(self.workers.values()),
            reference=lambda: node_reference(self._node()),
        )

    def _note_pressures(self, pressures: Sequence[str]) -> None:
        if self._tenancy is not None:
            self._tenancy.pressures = pressures
        self._status_due.set()

    def _shutting_down(self, goes_down: bool) -> None:
        """The machine is about to go down, or that has been called off."""
        if goes_down:
            text = "Shutdown manager detected shutdown event"
            about = node_reference(self._node())
            self.events.emit(about, "Normal", "NodeShutdown", text)
        if self._tenancy is not None:
            self._tenancy.is_shutting_down = goes_down
        self._status_due.set()

    async def wait_ready(self) -> None:
        """Until the node has reported itself Ready for the first time."""
        await self._ready.wait()

    def pods(self) -> Sequence[Obj]:
        """The pods of this node as the API last told, those that are ending included."""
        return [worker.pod for worker in self.workers.values()]

    async def run(self) -> None:
        """Until cancelled. Whatever fails is logged and begun again; nothing ends the agent."""
        try:
            async with task_group() as tasks:
                await self._run(tasks)
        finally:
            await self.cri.close()

    async def _run(self, tasks: Tasks) -> None:
        def start(name: str, run: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
            return tasks.start(supervised(name, run), name=name)

        machine = await supervised("waiting for the runtime", self._wait_runtime)
        start("events", self.events.run)
        await supervised("listing containers", self.view.relist)
        shop = await supervised("storage", functools.partial(self._workshop, machine))
        static = self._static_pods(shop, tasks)
        self._devices.load()
        self.aligner.load()
        self.claims.books.load()
        # Static pods wait for nobody: they may be what the API server itself needs.
        static.look()
        start("static pods", static.run)
        start("device plugins", DeviceRegistration(self._devices).run)
        resources = PodResources(
            self.config.data_dir / "pod-resources",
            self._devices,
            self.aligner,
            self.claims,
            self.pods,
        )
        start("pod resources", resources.run)
        start("processors", self._keeper.run)
        start("runtime", self._follower.run)
        await supervised("registration", functools.partial(self.registration.register, machine))
        running = start("cache", self.cache.run)
        start("node status", functools.partial(self._report_status, machine))
        start("node lease", self._renew_lease)
        await self.cache.wait_synced()
        self._take_over(shop, static, tasks)
        start("mirrors of static pods", static.keep_mirrors)
        start("DRA drivers", self.claims.drivers.run)
        start("plugins", self.storage.run)
        start("housekeeping", self._housekeeping)
        start("eviction", self.evictor.run)
        start("graceful shutdown", self.shutdown.run)
        start("volume refresh", self._refresh_volumes)
        start("image collection", self._collect_images)
        await running

    async def _wait_runtime(self) -> Machine:
        while True:
            try:
                version = await self.cri.version()
            except RuntimeFailure as error:
                log.info("the container runtime does not answer yet: %s", error)
                await asyncio.sleep(RUNTIME_WAIT_SECONDS)
                continue
            self.cgroups.prepare()
            self.storage.prepare()
            runtime = f"{version.runtime_name}://{version.runtime_version}"
            return read_machine(self.config.data_dir, runtime=runtime)

    async def _workshop(self, machine: Machine) -> Workshop:
        runtime = await self._runtime()
        volumes = self.storage.volumes(runtime, self.events)
        facts = NodeFacts(self.config.name, self.config.host_ips, allocatable(self.config, machine))
        launcher = Launcher(
            config=self.config,
            cri=self.cri,
            events=self.events,
            mounts=ContainerMounts(self.config, self._ids, runtime),
            objects=ApiObjects(self._client, self._clock),
            puller=ImagePuller(self.cri, self._clock),
            devices=self._devices,
            aligner=self.aligner,
            claims=self.claims,
            knows_cdi=await knows_cdi(self.cri),
            cgroups=self.cgroups,
            services=self._services,
            node_facts=lambda: facts,
            memory_capacity_bytes=machine.memory_bytes,
        )
        self._tenancy = Tenancy(
            facts.allocatable,
            self._node,
            unsafe_sysctls=self.config.allowed_unsafe_sysctls,
            features=await self._features(),
        )
        return Workshop(
            config=self.config,
            client=self._client,
            cri=self.cri,
            events=self.events,
            clock=self._clock,
            view=self.view,
            launcher=launcher,
            stopper=Stopper(
                self.cri, self.events, self._clock, self.config.drain_seconds, self._services
            ),
            cleaner=Cleaner(self.config, self.cri, self.view, self.cgroups, volumes, self.claims),
            volumes=volumes,
            guard=self.guard,
            tenancy=self._tenancy,
            aligner=self.aligner,
            probes=self.probe_counts,
            worker=self.workers.get,
        )

    async def _features(self) -> Features:
        told = (await self.cri.call("Status")).features
        return Features(told.supplemental_groups_policy, has_app_armor())

    async def _runtime(self) -> Runtime:
        version = await self.cri.version()
        handlers = (await self.cri.call("Status")).runtime_handlers
        recursive = any(h.name == "" and h.features.recursive_read_only_mounts for h in handlers)
        return Runtime(
            version.runtime_name, version.runtime_version, self.config.runtime_endpoint, recursive
        )

    def _node(self) -> Obj:
        """Our Node as the API last told."""
        known = self.cache.get("nodes", "", self.config.name)
        return known or {"metadata": {"name": self.config.name}}

    def _services(self, namespace: str) -> Iterable[Obj]:
        yield from self.cache.list("services", namespace)
        if namespace != "default":
            master = self.cache.get("services", "default", "kubernetes")
            if master is not None:
                yield master

    # Pods

    def _static_pods(self, shop: Workshop, tasks: Tasks) -> StaticPods:
        def started(pod: Obj, mirror: Mirror) -> None:
            work = self._work_on_static(pod, mirror, shop)
            tasks.start(work, name=f"static pod {uid_of(pod)}")

        return StaticPods(
            self.config.static_pod_dir,
            self.config.name,
            self._node,
            self._client,
            self._clock,
            started=started,
            stopped=self._removed,
            mirrored=self._wake,
        )

    async def _work_on_static(self, pod: Obj, mirror: Mirror, shop: Workshop) -> None:
        """Run a static pod, once an earlier one of its name has left."""
        same = [w for w in self.workers.values() if key_of(w.pod) == key_of(pod)]
        worker = self.workers[uid_of(pod)] = PodWorker(pod, shop, mirror)
        for earlier in same:
            await earlier.wait_left()
        await self._work(worker)

    def _take_over(self, shop: Workshop, static: StaticPods, tasks: Tasks) -> None:
        """A worker for each pod of the API; what else is here belonged to pods that are gone."""

        def changed(old: Obj | None, new: Obj | None) -> None:
            mirror = new or old
            if mirror is not None and is_mirror(mirror):
                static.saw(key_of(mirror), new)
                return
            if old is not None and (new is None or uid_of(new) != uid_of(old)):
                self._removed(uid_of(old))
            if new is not None:
                self._updated(new, shop, tasks)

        self.cache.on_change("pods", changed)
        self.aligner.keep_only(set(self.workers))
        for uid in shop.cleaner.known_uids() - set(self.workers):
            tasks.start(self._remove_orphan(shop, uid), name=f"orphan {uid}")

    def _updated(self, pod: Obj, shop: Workshop, tasks: Tasks) -> None:
        worker = self.workers.get(uid_of(pod))
        if worker is not None:
            worker.update(pod)
            return
        worker = self.workers[uid_of(pod)] = PodWorker(pod, shop)
        tasks.start(self._work(worker), name=f"worker {uid_of(pod)}")

    def _removed(self, uid: str) -> None:
        worker = self.workers.get(uid)
        if worker is not None:
            worker.remove()

    def _wake(self, uid: str) -> None:
        if uid in self.workers:
            self.workers[uid].wake()

    def _is_looked_after(self, uid: str) -> bool:
        worker = self.workers.get(uid)
        return worker is None or worker.is_stopping

    async def _work(self, worker: PodWorker) -> None:
        try:
            await supervised(f"the worker of pod {worker.uid}", worker.run)
        finally:
            self.workers.pop(worker.uid, None)

    async def _remove_orphan(self, shop: Workshop, uid: str) -> None:
        delay = 1.0
        while uid not in self.workers:
            try:
                log.info("removing pod %s, which the API no longer has", uid)
                await shop.cleaner.remove_orphan(uid)
            except (RuntimeFailure, PluginFailure, OSError) as error:
                log.warning("cannot remove pod %s yet: %s", uid, error)
                await asyncio.sleep(delay)
                delay = min(2 * delay, 60.0)
                continue
            return

    # The node

    async def _report_status(self, machine: Machine) -> None:
        written_at: float | None = None
        while True:
            self._status_due.clear()
            now = self._clock.monotonic()
            due = written_at is None or now - written_at >= self.config.status_report_seconds
            try:
                health = await self._health()
                await self.registration.write_status(
                    self._status_maker(machine, health), unless_same=not due
                )
            except ApiError as error:
                log.warning("cannot report the node's status: %s", error)
            else:
                written_at = now if due else written_at
                if not health.problems:
                    self._ready.set()
            # Until it is Ready for the first time, its pods wait for it: look more often.
            pause = self.config.status_seconds if self._ready.is_set() else 0.1
            try:
                async with asyncio.timeout(pause):
                    await self._status_due.wait()
            except TimeoutError:
                continue

    def _status_maker(self, machine: Machine, health: Health) -> Callable[[Obj], Awaitable[Obj]]:
        async def make(old: Obj) -> Obj:
            status = node_status(
                self.config,
                machine,
                health,
                old=old,
                # A runtime that is ill is not asked more than once: the status must get through.
                images=(old.get("images") or []) if health.runtime else await self._listed_images(),
                offers=self._devices.offers(),
                now=self._clock.now(),
            )
            return with_volumes_in_use(status, self.storage.csi.volumes_in_use())

        return make

    async def _listed_images(self) -> Sequence[Obj]:
        try:
            images = await self.cri.list_images()
        except RuntimeFailure:
            return []
        listed = sorted(images, key=lambda image: (-image.size, image.id))
        return [
            {"names": [*image.repo_digests, *image.repo_tags], "sizeBytes": image.size}
            for image in listed
            if image.repo_digests or image.repo_tags
        ]

    async def _health(self) -> Health:
        try:
            status = await self.cri.status()
        except RuntimeFailure:
            return Health("container runtime is down", pressures=self.evictor.pressures)
        going_down = self._tenancy is not None and self._tenancy.is_shutting_down
        conditions = {c.type: c for c in status.conditions}
        runtime, network = conditions.get("RuntimeReady"), conditions.get("NetworkReady")
        age = self._follower.age_seconds
        return Health(
            runtime="" if runtime and runtime.status else "container runtime status check failed",
            network=""
            if network and network.status
            else "container runtime network not ready: NetworkReady=false "
            f"reason:{network.reason if network else ''} "
            f"message:{network.message if network else ''}",
            pleg="" if age < PLEG_UNHEALTHY_SECONDS else "PLEG is not healthy",
            shutdown=SHUTDOWN_STATUS if going_down else "",
            pressures=self.evictor.pressures,
        )

    async def _renew_lease(self) -> None:
        lost = False
        while True:
            try:
                node = self.cache.get("nodes", "", self.config.name)
                if node is None:
                    node = await self._client.get("nodes", self.config.name)
                await self.registration.renew_lease(node)
            except ApiError as error:
                log.warning("cannot renew the node's lease: %s", error)
                lost = True
                await asyncio.sleep(1.0)
                continue
            if lost:
                lost = False
                self.cache.note_answered()
            await asyncio.sleep(self.config.lease_renew_seconds)

    # Upkeep

    async def _refresh_volumes(self) -> None:
        while True:
            await asyncio.sleep(self.config.volume_refresh_seconds)
            free = asyncio.Semaphore(REFRESHES_AT_ONCE)

            async def refresh(worker: PodWorker, free: asyncio.Semaphore = free) -> None:
                async with free:
                    await worker.refresh_volumes()

            async with task_group() as tasks:
                for task in [
                    tasks.start(refresh(worker), name=f"volumes of {worker.uid}")
                    for worker in tuple(self.workers.values())
                ]:
                    await task

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            for uid in self.view.uids():
                for container in self.view.pod(uid).running:
                    await rotate_logs(self.cri, container, self.config, self._clock)

    async def _collect_images(self) -> None:
        while True:
            await asyncio.sleep(IMAGE_GC_SECONDS)
            try:
                await self._images.collect()
            except RuntimeFailure as error:
                log.warning("cannot collect images: %s", error)
