"""The composition root inside a user's pytest: fixtures that give a test its own Kubernetes.

``kubernetes_api`` is an API server alone (as envtest is); ``kubernetes_cluster`` has controllers,
the scheduler and simulated nodes too, so that Deployments roll out and Jobs complete. Each lives as
long as the test session; a test that wants a place of its own takes ``kubernetes_namespace``.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagong.testing.backend import background
from sagong.testing.cluster import TestCluster

if TYPE_CHECKING:
    from sagong.sim.fleet import Fleet

NODES = 3


@pytest.fixture(scope="session")
def kubernetes_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestCluster]:
    """An API server over HTTPS: storage, validation, admission, RBAC; nothing reconciles."""
    directory = tmp_path_factory.mktemp("kubernetes-api")
    with background(lambda: _cluster(directory, nodes=0)) as (_, cluster):
        yield cluster


@pytest.fixture(scope="session")
def kubernetes_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestCluster]:
    """The same with all controllers, the scheduler and three simulated nodes."""
    directory = tmp_path_factory.mktemp("kubernetes-cluster")
    with background(lambda: _cluster(directory, nodes=NODES)) as (_, cluster):
        yield cluster


@pytest.fixture
def kubernetes_namespace(
    kubernetes_cluster: TestCluster,
) -> Iterator[str]:
    """A namespace of the cluster for this test alone, deleted when it ends."""
    made = kubernetes_cluster.request(
        "POST", "/api/v1/namespaces", {"metadata": {"generateName": "test-"}}
    )
    name = made["metadata"]["name"]
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    kubernetes_cluster.wait(lambda: kubernetes_cluster.request("GET", account))
    yield name
    kubernetes_cluster.request("DELETE", f"/api/v1/namespaces/{name}")


@contextlib.asynccontextmanager
async def _cluster(directory: Path, *, nodes: int) -> AsyncIterator[TestCluster]:
    # Imported when used: the plugin is loaded into every pytest run of its environment.
    from sagong.api.types import User
    from sagong.cmd.control_plane import control_plane
    from sagong.cmd.server import ServerConfig, serving
    from sagong.controllers.configured import Settings
    from sagong.core.clock import SystemClock
    from sagong.core.ids import SystemIds
    from sagong.server.pki.signing import Signer
    from sagong.sim.fleet import Fleet, FleetConfig

    clock, ids = SystemClock(), SystemIds()
    token = ids.uid()
    tokens = directory / "tokens.csv"
    tokens.write_text(f'{token},admin,admin,"system:masters"\n')
    tokens.chmod(0o600)
    config = ServerConfig(
        directory, port=0, token_auth_file=tokens, store="memory", node_grace_seconds=50.0
    )
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(serving(config, clock=clock, ids=ids))
        cluster = TestCluster(running.url, running.kubeconfig, token, running.pki.ca_file)
        if nodes:
            signer = Signer(running.pki.authority, clock)
            settings = Settings(running.pki.ca_file.read_text(), signer)
            core = running.core
            await stack.enter_async_context(
                control_plane(core.server.dispatch, core.resources, settings, clock, ids)
            )
            admin = running.client(User("admin", groups=("system:masters",)))
            fleet = Fleet(FleetConfig(nodes), admin, lambda name: admin, clock, ids)
            group = await stack.enter_async_context(_running(fleet))
            await asyncio.wait_for(group.wait_registered(), 30)
        yield cluster


@contextlib.asynccontextmanager
async def _running(fleet: "Fleet") -> AsyncIterator["Fleet"]:
    from sagong.core.tasks import task_group

    async with task_group() as tasks:
        tasks.start(fleet.run(), name="simulated nodes")
        yield fleet
