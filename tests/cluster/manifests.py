"""Pods as tests write them: one image that every node has, and a shell in it."""

from collections.abc import Callable, Mapping
from typing import Any

from sagong.api.types import Obj
from sagong.local.images import BUSYBOX_IMAGE

FOREVER = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"


def pod(name: str, *containers: Obj, labels: Mapping[str, str] | None = None, **spec: Any) -> Obj:
    """A pod without grace or token; containers are given as their fields besides name and image."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **({"labels": dict(labels)} if labels else {})},
        "spec": pod_spec(*containers, **spec),
    }


def pod_spec(*containers: Obj, **spec: Any) -> Obj:
    listed = [{"image": BUSYBOX_IMAGE, "name": f"c{i}", **c} for i, c in enumerate(containers)]
    return {
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "containers": listed or [shell(FOREVER, name="c0")],
        **spec,
    }


def shell(script: str, **fields: Any) -> Obj:
    """A container that runs a script."""
    return {"image": BUSYBOX_IMAGE, "command": ["sh", "-c", script], **fields}


def condition_of(obj: Obj, kind: str) -> str:
    """The status of a condition, "" if there is none."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((str(c["status"]) for c in conditions if c["type"] == kind), "")


def is_ready(obj: Obj) -> bool:
    return condition_of(obj, "Ready") == "True"


def phase_is(*phases: str) -> Callable[[Obj], bool]:
    return lambda obj: (obj.get("status") or {}).get("phase") in phases


def container_status(seen: Obj, name: str = "c0") -> Obj:
    """A container's status, whichever kind of container it is; an empty one if there is none."""
    status = seen.get("status") or {}
    for kind in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for found in status.get(kind) or []:
            if found["name"] == name:
                return dict(found)
    return {}
