"""An operator written with kopf: it handles, reports in status, holds a finalizer, and lets go."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.clients.manifests import definition

from sagong.testing.cluster import TestCluster

OPERATOR = Path(__file__).with_name("operator.py")
SECONDS = 30.0


@pytest.fixture
def operated(
    kubernetes_cluster: TestCluster, kubernetes_namespace: str, tmp_path: Path
) -> Iterator[str]:
    """The operator runs while the test does; gives the path of its objects."""
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    kubernetes_cluster.request("POST", crds, definition("kopfthings", "KopfThing"))
    path = f"/apis/example.com/v1/namespaces/{kubernetes_namespace}/kopfthings"
    kubernetes_cluster.wait(lambda: kubernetes_cluster.request("GET", path))
    command = [sys.executable, "-m", "kopf", "run", str(OPERATOR), "-n", kubernetes_namespace]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **kubernetes_cluster.environment},
        )
        try:
            yield path
        finally:
            process.terminate()
            process.wait(SECONDS)
            print((tmp_path / "log").read_text())


def test_an_operator_does_its_work(
    kubernetes_cluster: TestCluster, kubernetes_namespace: str, operated: str
) -> None:
    cluster = kubernetes_cluster
    maps = f"/api/v1/namespaces/{kubernetes_namespace}/configmaps"

    def size_is(size: str) -> bool:
        found: dict[str, Any] = cluster.request("GET", f"{maps}/t-config")
        return found["data"]["size"] == size

    thing = {
        "apiVersion": "example.com/v1",
        "kind": "KopfThing",
        "metadata": {"name": "t"},
        "spec": {"size": 1},
    }
    cluster.request("POST", operated, thing)
    cluster.wait(lambda: size_is("1"), SECONDS)

    def told() -> dict[str, Any]:
        status: dict[str, Any] = cluster.request("GET", f"{operated}/t").get("status") or {}
        return status.get("create_fn") or {}

    assert cluster.wait(told, SECONDS) == {"made": "t-config"}
    seen = cluster.request("GET", f"{operated}/t")
    assert seen["metadata"]["finalizers"] == ["example.com/kopf"]
    cluster.request("PUT", f"{operated}/t", {**seen, "spec": {"size": 5}})
    cluster.wait(lambda: size_is("5"), SECONDS)
    cluster.request("DELETE", f"{operated}/t")
    cluster.wait(lambda: cluster.request("GET", f"{maps}/t-was-here"), SECONDS)
    # What it adopted goes with its owner.
    cluster.wait(lambda: not _exists(cluster, f"{maps}/t-config"), SECONDS)


def _exists(cluster: TestCluster, path: str) -> bool:
    listed = cluster.request("GET", path.rpartition("/")[0])["items"]
    return path.rpartition("/")[2] in {item["metadata"]["name"] for item in listed}
