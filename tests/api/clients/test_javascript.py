"""@kubernetes/client-node: the official JavaScript client."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from sagong.testing.cluster import TestCluster

HERE = Path(__file__).parent / "javascript"
SECONDS_MAX = 60.0


@pytest.fixture(scope="session")
def program() -> Path:
    """The program beside its packages, which `scripts/setup --dev` fetches if there is npm."""
    if not (HERE / "node_modules").exists():
        pytest.skip("the JavaScript client is not installed: scripts/setup --dev")
    return HERE / "ordinary.mjs"


def test_ordinary_work(
    program: Path, kubernetes_cluster: TestCluster, kubernetes_namespace: str
) -> None:
    done = subprocess.run(
        ["node", str(program), kubernetes_namespace],
        env={**os.environ, **kubernetes_cluster.environment},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "uid": "string",
        "replaced": {"a": "1", "b": "2"},
        "again": 409,
        "phases": ["Running", "Running"],
        "applied": [3, True],
    }
