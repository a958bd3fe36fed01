"""The objects that the benchmarks make."""

import json
from typing import Any

from target import NAMESPACE


def small_pod() -> dict[str, Any]:
    """One container; its scheduler is nobody, so that only the API server works on it."""
    container = {
        "name": "app",
        "image": "registry.example.com/app:1.2.3",
        "env": [{"name": "A", "value": "b"}, {"name": "C", "value": "d"}],
        "ports": [{"containerPort": 8080}],
        "resources": {
            "requests": {"cpu": "100m", "memory": "64Mi"},
            "limits": {"memory": "128Mi"},
        },
    }
    return _pod({"containers": [container], "schedulerName": "nobody"})


def typical_pod() -> dict[str, Any]:
    """About 7 KB once it is stored: labels, annotations, probes, variables, two containers."""
    labels = {f"app.kubernetes.io/{name}": f"some-{name}" for name in ("name", "part-of", "tier")}
    annotations = {f"example.com/note-{i}": "something to remember about it " * 3 for i in range(3)}

    def container(name: str) -> dict[str, Any]:
        probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
        return {
            "name": name,
            "image": f"registry.example.com/team/{name}:v1.22.333",
            "args": [f"--option-{i}=some-value-{i}" for i in range(4)],
            "env": [{"name": f"VARIABLE_{i}", "value": f"value number {i}"} for i in range(6)],
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {
                "requests": {"cpu": "100m", "memory": "64Mi"},
                "limits": {"memory": "128Mi"},
            },
            "livenessProbe": probe,
            "readinessProbe": probe,
            "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/config"}],
        }

    volumes = [{"name": "config", "configMap": {"name": "one"}}]
    spec = {
        "containers": [container("app"), container("sidecar")],
        "volumes": volumes,
        "schedulerName": "nobody",
    }
    pod = _pod(spec)
    pod["metadata"] |= {"labels": labels, "annotations": annotations}
    return pod


def config_map(name: str = "") -> dict[str, Any]:
    metadata = {"name": name} if name else {"generateName": "b-"}
    data = {f"key{i}": "value" * 4 for i in range(4)} if name else {"a": "b"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _pod(spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"generateName": "b-", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def text(obj: dict[str, Any]) -> str:
    return json.dumps(obj)
