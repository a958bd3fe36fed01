"""@kubernetes/client-node: the official JavaScript client."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sagong.testing.cluster import TestCluster

HERE = Path(__file__).parent / "javascript"
SECONDS_MAX = 100.0


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program beside its installed dependencies."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    directory = tmp_path_factory.mktemp("javascript")
    for name in ("package.json", "ordinary.mjs"):
        shutil.copy(HERE / name, directory / name)
    command = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(command, cwd=directory, check=True, timeout=SECONDS_MAX)
    return directory / "ordinary.mjs"


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
