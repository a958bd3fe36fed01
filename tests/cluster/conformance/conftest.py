"""One 3-node cluster for all tests here, whichever of xdist's processes they run in.

The first test brings it up; the process that ends last takes it away and looks for what is left.
With ``SAGONG_TEST_CLUSTER=DIR`` the one in that directory (of a short name) is used and kept
between runs, within one `scripts/alone sh`; end it with ``sagong down --purge``.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.cluster.conformance.cluster import Cluster, Space

from sagong.api.errors import NotFound
from sagong.api.resources import ResourceTable
from sagong.client.client import Client
from sagong.client.https import Https
from sagong.client.kubeconfig import read_context
from sagong.core.ids import SystemIds
from sagong.local import preflight

ROOT = Path(__file__).parents[3]
PORT = 17443
NODES = 3
UP_SECONDS_MAX = 240.0
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cluster's directory, the same for all processes of a run. Sockets want it short."""
    kept = os.environ.get("SAGONG_TEST_CLUSTER")
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    return Path(kept) if kept else Path("/tmp") / f"sgc-{run[:8]}"


@pytest.fixture(scope="session")
def cluster(base: Path) -> Iterator[Cluster]:
    """The running cluster; afterwards nothing of it may be left."""
    if os.geteuid() != 0 or preflight.unmet(preflight.check_node()):
        pytest.skip("nodes cannot run here: see `sagong up`")
    prefix = f"n{base.name[-6:].strip('-')}"
    nodes = tuple(f"{prefix}-{i + 1}" for i in range(NODES))
    made = Cluster(base / "kubeconfig", base / "data", base / "run", nodes)
    user = base / "users" / str(os.getpid())
    with _locked(base):
        # Services are of IPv4 alone unless they ask for more, so that one cluster does for all.
        more = ("--node-prefix", prefix, "--ip-family", "dual" if has_ipv6() else "ipv4")
        _sagong(made, "up", "--nodes", str(NODES), "--port", str(PORT), *more)
        user.parent.mkdir(exist_ok=True)
        user.touch()
    yield made
    with _locked(base):
        user.unlink()
        if any(user.parent.iterdir()) or os.environ.get("SAGONG_TEST_CLUSTER"):
            return
        _sagong(made, "down", "--purge")
        shutil.rmtree(base)
        _assert_nothing_left(made)


@contextlib.contextmanager
def _locked(base: Path) -> Iterator[None]:
    """One process at a time; the directory is there within."""
    with base.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        base.mkdir(exist_ok=True)
        yield


def has_ipv6() -> bool:
    return Path("/proc/net/if_inet6").exists()


def _sagong(cluster: Cluster, *arguments: str) -> None:
    command = [sys.executable, "-m", "sagong", *arguments, "--kubeconfig", str(cluster.kubeconfig)]
    command += ["--data-dir", str(cluster.data_dir), "--run-dir", str(cluster.run_dir)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=UP_SECONDS_MAX, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _assert_nothing_left(cluster: Cluster) -> None:
    left = subprocess.run(
        [ROOT / "demo" / "leftovers", cluster.data_dir, cluster.run_dir],
        capture_output=True,
        text=True,
        check=False,
    )
    assert left.returncode == 0, left.stdout
    groups = [g for n in cluster.nodes for g in Path("/sys/fs/cgroup").glob(f"**/kubepods-{n}")]
    assert not groups


@pytest.fixture
async def admin(cluster: Cluster) -> AsyncIterator[Client]:
    """An administrator's client over HTTPS."""
    access = read_context(cluster.kubeconfig).access
    client = Client(Https(access), ResourceTable(), user_agent="conformance")
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def space(cluster: Cluster, admin: Client) -> AsyncIterator[Space]:
    """A namespace of the test's own; its deletion begins when the test ends."""
    name = f"t-{SystemIds().suffix()}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await admin.create("namespaces", namespace)
    yield Space(name, cluster, admin)
    with contextlib.suppress(NotFound):
        await admin.delete("namespaces", name)
