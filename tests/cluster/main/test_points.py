"""The main job end to end: every point of the demonstration, on a cluster of its own."""

import subprocess
import sys

import pytest
from demo.points import POINTS
from demo.scene import Scene

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]
# In this order: killing comes last, so that what it breaks cannot be blamed on others.
ORDER = (1, 3, 8, 2, 4, 6, 7, 5)


@pytest.mark.parametrize("number", ORDER)
def test_point(scene: Scene, number: int) -> None:
    before = len(scene.facts)
    POINTS[number][1](scene)
    failed = [fact for fact in scene.facts[before:] if not fact.passed]
    assert len(scene.facts) > before
    assert not failed, failed


def test_status_tells_what_does_not_run(scene: Scene) -> None:
    scene.kill(scene.layout.pid_file("agent-node-3"))
    command = [sys.executable, "-m", "sagong", "status", "--data-dir", str(scene.layout.data_dir),
               "--run-dir", str(scene.layout.run_dir)]  # fmt: skip
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "agent of node-3 does not run" in told.stdout
    scene.bring_back()
