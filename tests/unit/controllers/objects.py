"""Objects for plans, in a few words."""

from typing import Any

from sagong.api.types import Obj
from sagong.core.clock import format_time

NOW = 1_767_225_600.0


def meta(name: str, **more: Any) -> Obj:
    return {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1} | more


def pod(
    name: str,
    *,
    phase: str = "Running",
    ready_for: float | None = 60,
    age: float = 100,
    node: str = "n",
    labels: dict[str, str] | None = None,
    **more: Any,
) -> Obj:
    """``ready_for`` seconds; None: not ready. ``more`` goes into metadata."""
    ready = {"type": "Ready", "status": "False"}
    if ready_for is not None:
        ready = {
            "type": "Ready",
            "status": "True",
            "lastTransitionTime": format_time(NOW - ready_for),
        }
    created = format_time(NOW - age)
    metadata = meta(name, creationTimestamp=created, labels=labels or {}) | more
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "one:1"}]},
        "status": {"phase": phase, "conditions": [ready]},
    }


def template(image: str = "one:1", **labels: str) -> Obj:
    containers = [{"name": "main", "image": image}]
    return {"metadata": {"labels": labels or {"app": "x"}}, "spec": {"containers": containers}}


def deployment(replicas: int, *, image: str = "one:1", **spec: Any) -> Obj:
    wanted = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "x"}},
        "template": template(image),
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
        },
        "progressDeadlineSeconds": 600,
        "revisionHistoryLimit": 10,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta("d"),
        "spec": wanted | spec,
        "status": {},
    }


def rolling(surge: int | str, unavailable: int | str) -> Obj:
    limits = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"type": "RollingUpdate", "rollingUpdate": limits}
