"""A whole cluster in one event loop: store, API server, control plane, nodes; all of it can die.

    run_simulation(scenario, seed=3, compose=control_plane, config=SimulationConfig(nodes=5))

Every component is the production code, composed as in production. A crash takes a component's
state with it and leaves the store: what comes back has only what the API tells it.
"""

import asyncio
import contextlib
import functools
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sagong.api import errors
from sagong.api.call import Answer, Call
from sagong.api.meta import name_of, namespace_of
from sagong.api.resources import ResourceTable
from sagong.api.types import Obj, User
from sagong.client.client import Client
from sagong.client.in_process import Dispatch, InProcess
from sagong.controllers.configured import Settings
from sagong.core.clock import Clock, LoopClock
from sagong.core.ids import Ids, SeededIds
from sagong.core.tasks import Tasks, task_group
from sagong.server.assembly import Core, Parts, api_server
from sagong.server.bootstrap.reconcile import SERVER_USER, reconcile_bootstrap
from sagong.server.security import SecuritySettings, security_builder
from sagong.sim.faults import NO_FAULTS, FaultRates, Faulty, Link
from sagong.sim.fleet import LEASE_SECONDS, Fleet, FleetConfig
from sagong.sim.lives import USUAL, Profile
from sagong.sim.loop import run_virtual
from sagong.sim.view import Check, View
from sagong.store.drivers.memory import MemoryStore

T = TypeVar("T")

EPOCH = 1_767_225_600.0  # 2026-01-01
CLUSTER_CIDR = "10.128.0.0/9"  # room for 32,768 nodes
ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
# How production composes controllers and scheduler (``cmd.control_plane``).
Compose = Callable[
    [Dispatch, ResourceTable, Settings, Clock, Ids], AbstractAsyncContextManager[Any]
]
_POLL_SECONDS = 0.25  # virtual: it costs a look at the condition
_RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class SimulationConfig:
    """What differs between simulations besides the seed."""

    nodes: int = 3
    faults: FaultRates = NO_FAULTS  # of the control plane's and the nodes' way to the server
    profile: Profile = USUAL
    node_cpu: str = "32"
    # With longer leases a cluster writes less, and the loss of a node is noticed later.
    lease_seconds: int = LEASE_SECONDS
    node_grace_seconds: float = 50.0
    service_cidr: str = "10.96.0.0/16"
    limit_seconds: float = 7200.0  # virtual; past it the run is red
    checks: Sequence[Check] = field(default_factory=tuple)


class Component:
    """Something that runs, is killed, and comes back with nothing but what the store has."""

    def __init__(
        self, name: str, make: Callable[[], AbstractAsyncContextManager[Any]], tasks: Tasks
    ) -> None:
        self.name = name
        self._make = make
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return self._task is not None

    async def start(self) -> None:
        """Returns when it is ready."""
        assert self._task is None, f"{self.name} runs already"
        ready = asyncio.Event()
        self._task = self._tasks.start(self._run(ready), name=self.name)
        await ready.wait()

    async def crash(self) -> None:
        """It is gone when this returns."""
        assert self._task is not None, f"{self.name} does not run"
        task, self._task = self._task, None
        task.cancel()
        await asyncio.wait([task])

    async def _run(self, ready: asyncio.Event) -> None:
        async with self._make():
            ready.set()
            await asyncio.Event().wait()


class NoSigner:
    """Certificates are refused: making keys would take longer than everything else."""

    def issue_client_certificate(
        self, csr_pem: bytes, ttl_seconds: float | None, usages: Sequence[str]
    ) -> bytes:
        raise ValueError("there are no certificates in a simulation")


class Simulation:
    """One cluster. Made by :func:`simulation`."""

    def __init__(self, seed: int, compose: Compose, config: SimulationConfig, tasks: Tasks) -> None:
        self.seed = seed
        self.config = config
        self.clock = LoopClock(EPOCH)
        self.ids = SeededIds(seed)
        self.random = random.Random(f"{seed} scenario")
        self.store = MemoryStore()
        self.resources = ResourceTable()
        self.view = View(self.resources)
        self.view.checks.extend(config.checks)
        self.failures: list[str] = []
        self.links: dict[str, Link] = {}
        self._core: Core | None = None
        self._compose = compose
        self._up = asyncio.Event()
        self.client = self._client(ADMIN, self.link("scenario", NO_FAULTS))
        self.server = Component("server", self._run_server, tasks)
        self.control_plane = Component("control plane", self._run_control_plane, tasks)
        self.fleet = Fleet(
            FleetConfig(
                config.nodes,
                cpu=config.node_cpu,
                profile=config.profile,
                seed=seed,
                lease_seconds=config.lease_seconds,
            ),
            self._client(ADMIN, self.link("nodes", config.faults)),
            self._node_client,
            self.clock,
            self.ids,
        )

    # Death and resurrection

    async def crash_server(self) -> None:
        """Its caches and everything under way are lost; the store has what was committed."""
        self._core = None
        self._up.clear()
        for link in self.links.values():
            link.break_off()
        await self.server.crash()

    async def crash_control_plane(self) -> None:
        """Controllers and scheduler end in the middle of whatever they did."""
        link = self.links["control plane"]
        # First the link, so that no last write of a dying component gets out.
        link.cut()
        await self.control_plane.crash()
        link.mend()

    async def restart_server(self, after_seconds: float = 0.0) -> None:
        await self.crash_server()
        await asyncio.sleep(after_seconds)
        await self.server.start()

    async def restart_control_plane(self, after_seconds: float = 0.0) -> None:
        await self.crash_control_plane()
        await asyncio.sleep(after_seconds)
        await self.control_plane.start()

    async def trouble(self, times: int, within_seconds: float, kinds: Sequence[str] = ()) -> None:
        """Something dies, hangs or is cut off, so many times, at times drawn from the seed.

        ``kinds``: of "server", "control plane", "pause", "partition"; all if none is given.
        Everything is up again at the end.
        """
        for _ in range(times):
            await asyncio.sleep(self.random.uniform(0, within_seconds / times))
            kind = self.random.choice(list(kinds) or list(TROUBLES))
            await TROUBLES[kind](self, self.random.uniform(0, 10))

    def link(self, name: str, rates: FaultRates | None = None) -> Link:
        """The link of that name, made when first asked for."""
        if name not in self.links:
            self.links[name] = Link(name, self.seed, rates or self.config.faults)
        return self.links[name]

    # What a scenario does; each waits for the server and may be repeated

    async def apply(self, resource: str, obj: Obj) -> Obj:
        """Create the object; one that is there already will do."""
        namespace = namespace_of(obj) or None

        async def attempt() -> Obj:
            try:
                return await self.client.create(resource, obj)
            except errors.AlreadyExists:
                return await self.client.get(resource, name_of(obj), namespace=namespace)

        return await self._persist(attempt)

    async def change(
        self, resource: str, name: str, patch: Obj, namespace: str | None = "default"
    ) -> Obj:
        """Merge a patch."""
        return await self._persist(
            lambda: self.client.patch(resource, name, patch, namespace=namespace)
        )

    async def delete(
        self, resource: str, name: str, namespace: str | None = "default", policy: str | None = None
    ) -> None:
        """Delete; what is gone already will do."""

        async def attempt() -> None:
            with contextlib.suppress(errors.NotFound):
                await self.client.delete(
                    resource, name, namespace=namespace, propagation_policy=policy
                )

        await self._persist(attempt)

    async def wait(self, condition: Callable[[], bool], seconds: float = 600.0) -> None:
        """Until it holds; virtual seconds. Raises TimeoutError, and AssertionError of a check."""
        async with asyncio.timeout(seconds):
            # Virtual time costs nothing, and this waits for conditions of any kind.
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)
        self.check()

    def check(self) -> None:
        """Raises AssertionError for the first thing that went wrong so far."""
        broken = [*self.failures, *self.view.broken]
        if broken:
            raise AssertionError("\n".join(broken[:3]))

    def status(self, resource: str, name: str, namespace: str = "default") -> Obj:
        """An object's status as stored; empty if there is none."""
        found = self.view.get(resource, namespace, name) or {}
        return found.get("status") or {}

    # Inside

    async def _persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        while True:
            await self._up.wait()
            try:
                answer = await attempt()
            except errors.ServiceUnavailable:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            # Whoever looks next sees what was done.
            await self.view.wait_revision(await self.store.current_revision())
            return answer

    async def _dispatch(self, call: Call, user: User) -> Answer:
        core = self._core
        if core is None:
            raise errors.ServiceUnavailable("connection refused")
        try:
            return await core.server.dispatch(call, user)
        except errors.ApiError:
            raise
        except Exception as error:  # supervised border: as the HTTP server's, but never forgiven
            what = f"{call.verb} {call.resource.name} {call.namespace}/{call.name} by {user.name}"
            self.failures.append(f"the server failed at {what}: {error!r}")
            raise errors.InternalError(str(error)) from error

    def _client(self, user: User, link: Link) -> Client:
        return Client(Faulty(InProcess(self._dispatch, user), link), self.resources)

    def _node_client(self, name: str) -> Client:
        groups = ("system:nodes", "system:authenticated")
        return self._client(User(f"system:node:{name}", groups=groups), self.link("nodes"))

    @contextlib.asynccontextmanager
    async def _run_server(self) -> AsyncIterator[None]:
        settings = SecuritySettings(
            clock=self.clock,
            ids=self.ids,
            service_cidr=self.config.service_cidr,
            static_tokens={},
            account_key_pem=_account_key(),
        )
        parts = Parts(self.store, self.clock, self.ids, security_builder(settings))
        async with api_server(parts) as core:
            await reconcile_bootstrap(core.server.registry, SERVER_USER, core.caches)
            self._core = core
            self._up.set()
            yield

    @contextlib.asynccontextmanager
    async def _run_control_plane(self) -> AsyncIterator[None]:
        link = self.link("control plane")

        async def dispatch(call: Call, user: User) -> Answer:
            return await Faulty(InProcess(self._dispatch, user), link).send(call)

        settings = Settings(
            "no certificate",
            NoSigner(),
            cluster_cidr=CLUSTER_CIDR,
            node_grace_seconds=self.config.node_grace_seconds,
        )
        async with self._compose(dispatch, self.resources, settings, self.clock, self.ids):
            yield


async def _restart_server(world: Simulation, seconds: float) -> None:
    await world.restart_server(seconds)


async def _restart_control_plane(world: Simulation, seconds: float) -> None:
    await world.restart_control_plane(seconds)


async def _pause(world: Simulation, seconds: float) -> None:
    link = world.links["control plane"]
    link.hold()
    await asyncio.sleep(seconds)
    link.release()


async def _partition(world: Simulation, seconds: float) -> None:
    link = world.links["control plane"]
    link.cut()
    await asyncio.sleep(seconds)
    link.mend()


TROUBLES: dict[str, Callable[[Simulation, float], Awaitable[None]]] = {
    "server": _restart_server,
    "control plane": _restart_control_plane,
    "pause": _pause,
    "partition": _partition,
}


@contextlib.asynccontextmanager
async def simulation(
    seed: int, compose: Compose, config: SimulationConfig
) -> AsyncIterator[Simulation]:
    """A cluster whose nodes are Ready, on the running (virtual) loop."""
    async with task_group() as tasks:
        world = Simulation(seed, compose, config, tasks)
        tasks.start(world.view.follow(world.store), name="view")
        await world.server.start()
        await world.control_plane.start()
        tasks.start(world.fleet.run(), name="fleet")
        await world.fleet.wait_registered()
        await world.wait(lambda: _is_ready(world), 300)
        yield world
        world.check()
    await world.store.close()


def run_simulation(
    scenario: Callable[[Simulation], Awaitable[None]],
    *,
    seed: int,
    compose: Compose,
    config: SimulationConfig | None = None,
) -> None:
    """Play a scenario in virtual time. What it raises carries the line that replays it."""
    config = config or SimulationConfig()

    async def main() -> None:
        async with simulation(seed, compose, config) as world:
            await scenario(world)

    try:
        run_virtual(main(), seed, limit_seconds=config.limit_seconds)
    except BaseException as error:
        error.add_note(replay_line(seed))
        raise


def replay_line(seed: int) -> str:
    """How to see the same run again."""
    return f"replay: seed {seed}, Python {sys.version.split()[0]}"


def _is_ready(world: Simulation) -> bool:
    """Every node may get pods, and pods may be made."""
    nodes = world.view.list("nodes")
    ready = [n for n in nodes if not n["spec"].get("taints")]
    account = world.view.get("serviceaccounts", "default", "default")
    return len(ready) == len(world.fleet.nodes) and account is not None


@functools.cache
def _account_key() -> bytes:
    """Made once a process: a key takes longer to make than a whole scenario to run."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
