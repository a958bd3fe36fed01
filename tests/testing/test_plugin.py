"""The fixtures for users' tests, used as a user would, in a pytest of their own."""

import subprocess
import sys
from pathlib import Path

USERS_TEST = """
import subprocess

import kubernetes.client
import kubernetes.config


def test_an_object_is_kept(kubernetes_api):
    data = {"metadata": {"name": "settings"}, "data": {"a": "1"}}
    path = "/api/v1/namespaces/default/configmaps"
    kubernetes_api.request("POST", path, data)
    found = kubernetes_api.request("GET", path + "/settings")
    assert found["data"] == {"a": "1"}


def test_the_official_client_gets_in(kubernetes_api):
    kubernetes.config.load_kube_config(str(kubernetes_api.kubeconfig))
    names = [n.metadata.name for n in kubernetes.client.CoreV1Api().list_namespace().items]
    assert "kube-system" in names


def test_a_deployment_rolls_out(kubernetes_cluster, kubernetes_namespace):
    labels = {"app": "web"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod}
    base = f"/apis/apps/v1/namespaces/{kubernetes_namespace}/deployments"
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
    kubernetes_cluster.request("POST", base, body | {"spec": spec})

    def rolled():
        status = kubernetes_cluster.request("GET", base + "/web").get("status") or {}
        return status.get("readyReplicas") == 2

    kubernetes_cluster.wait(rolled, 30)
"""


def test_a_users_tests_get_a_kubernetes_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(USERS_TEST)
    plugin = ["-p", "sagong.cmd.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
