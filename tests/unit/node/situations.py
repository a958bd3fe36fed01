"""Building situations of pods in few words."""

from dataclasses import replace
from typing import Any

from sagong.api.types import Obj
from sagong.node.pods.model import (
    Memory,
    ProbeView,
    RunState,
    SeenContainer,
    SeenPod,
    SeenSandbox,
    Situation,
)
from sagong.node.pods.spec import spec_hash

NOW = 1_000_000.0
SANDBOX = SeenSandbox("s0", 0, True, NOW - 100, ("10.0.0.9",))


def pod(*containers: Obj, init: tuple[Obj, ...] = (), **spec: Any) -> Obj:
    """A pod with containers given by their fields besides image."""
    full: Obj = {"containers": [_container(c) for c in containers], **spec}
    if init:
        full["initContainers"] = [_container(c) for c in init]
    metadata = {"name": "p", "namespace": "ns", "uid": "u", "generation": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": full}


def _container(fields: Obj) -> Obj:
    return {"image": "i:1", **fields}


def deleting(obj: Obj) -> Obj:
    marks = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
    return {**obj, "metadata": {**obj["metadata"], **marks}}


def running(name: str, attempt: int = 0, **fields: Any) -> SeenContainer:
    return _seen(name, attempt, RunState.RUNNING, started_at=NOW - 50, **fields)


def exited(name: str, code: int, attempt: int = 0, **fields: Any) -> SeenContainer:
    values: dict[str, Any] = {"started_at": NOW - 50, "finished_at": NOW - 5, **fields}
    reason = "Completed" if code == 0 else "Error"
    return _seen(name, attempt, RunState.EXITED, exit_code=code, reason=reason, **values)


def _seen(name: str, attempt: int, state: RunState, **fields: Any) -> SeenContainer:
    values: dict[str, Any] = {
        "id": f"{name}-{attempt}",
        "sandbox_id": SANDBOX.id,
        "created_at": NOW - 60 + attempt,
        "spec_hash": spec_hash({"name": name, "image": "i:1"}),
        **fields,
    }
    return SeenContainer(name=name, attempt=attempt, state=state, **values)


def situation(
    obj: Obj,
    *containers: SeenContainer,
    sandbox: SeenSandbox | None = SANDBOX,
    memory: Memory | None = None,
    **fields: Any,
) -> Situation:
    """Containers are given newest first."""
    sandboxes = (sandbox,) if sandbox is not None else ()
    seen = SeenPod("u", "p", "ns", sandboxes, containers)
    made = Situation(pod=obj, seen=seen, probes=ProbeView(), memory=memory or Memory(), now=NOW)
    return replace(made, host_ips=("192.0.2.1",), **fields)
