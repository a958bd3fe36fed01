"""The ``Available`` condition of an APIService, as far as objects tell. Pure.

Source of semantics: kube-aggregator's ``pkg/controllers/status/remote``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sagong.api.meta import deep_copy
from sagong.api.types import Obj
from sagong.server.aggregation.services import Extension
from sagong.server.remote.locating import ready_addresses


@dataclass(frozen=True, slots=True)
class State:
    """Whether an extension can be reached, and why (not)."""

    is_available: bool
    reason: str
    message: str


class CheckFailed(Exception):
    """An extension did not answer as it must; the text is upstream's."""


PASSED = State(True, "Passed", "all checks passed")


def judge(extension: Extension, service: Obj | None, slices: Sequence[Obj]) -> State | None:
    """What is wrong with the service; None if it is to be asked itself."""
    ref = extension.service
    shown = f'service/{ref.name} in "{ref.namespace}"'
    if service is None:
        return State(False, "ServiceNotFound", f"{shown} is not present")
    if service["spec"].get("type", "ClusterIP") != "ClusterIP":
        return None
    port = next((p for p in service["spec"].get("ports") or () if p["port"] == ref.port), None)
    if port is None:
        return State(False, "ServicePortError", f"{shown} is not listening on port {ref.port}")
    if not slices:
        return State(False, "EndpointsNotFound", f"cannot find endpointslices for {shown}")
    name = port.get("name") or ""
    if not ready_addresses(slices, name):
        text = f'endpoints for {shown} have no addresses with port name "{name}"'
        return State(False, "MissingEndpoints", text)
    return None


def with_condition(obj: Obj, state: State, *, now: str) -> Obj:
    """A copy of an APIService that says so; the time changes with the status only."""
    changed: Obj = deep_copy(obj)
    conditions = changed.setdefault("status", {}).setdefault("conditions", [])
    status = "True" if state.is_available else "False"
    found = next((c for c in conditions if c["type"] == "Available"), None)
    if found is None:
        found = {"type": "Available"}
        conditions.append(found)
    if found.get("status") != status:
        found["status"], found["lastTransitionTime"] = status, now
    found["reason"], found["message"] = state.reason, state.message
    return changed
