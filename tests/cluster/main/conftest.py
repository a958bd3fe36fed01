"""One 3-node cluster for all tests here, in directories and on a port of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.scene import GRACE_SECONDS, Scene

from sagong.local import network_namespaces, preflight
from sagong.local.layout import Layout

ROOT = Path(__file__).parents[3]
PORT = 16443
NODES = 3
UP_SECONDS_MAX = 240.0


@pytest.fixture(scope="session")
def scene() -> Iterator[Scene]:
    """The demonstration's view of a fresh cluster; afterwards nothing of it may be left."""
    if os.geteuid() != 0 or preflight.unmet(preflight.check_node()):
        pytest.skip("nodes cannot run here: see `sagong up`")
    if network_namespaces.find_bridge() is not None:
        pytest.skip("a cluster with several nodes already runs on this machine")
    # A directory of a short name: a socket's path may have 100 bytes at most.
    base = Path(f"/tmp/sagong-main-{os.getpid()}")
    layout = Layout(base / "data", base / "run")
    scene = Scene(layout, base / "kubeconfig")
    try:
        run_sagong(scene, "up", "--nodes", str(NODES), "--port", str(PORT),
                   "--node-grace-seconds", str(GRACE_SECONDS))  # fmt: skip
        yield scene
    finally:
        run_sagong(scene, "down", "--purge")
        scene.kubeconfig.unlink(missing_ok=True)
        base.rmdir()
    left = subprocess.run(
        [ROOT / "demo" / "leftovers", layout.data_dir, layout.run_dir],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert left.returncode == 0, left.stdout


def run_sagong(scene: Scene, *arguments: str) -> str:
    """A verb on this cluster; fails with what it said."""
    command = [sys.executable, "-m", "sagong", *arguments]
    command += ["--kubeconfig", str(scene.kubeconfig)]
    command += ["--data-dir", str(scene.layout.data_dir), "--run-dir", str(scene.layout.run_dir)]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=UP_SECONDS_MAX, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
