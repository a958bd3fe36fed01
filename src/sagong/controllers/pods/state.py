"""What a pod's status says to those who count pods (upstream ``pkg/api/v1/pod``)."""

from collections.abc import Iterable

from sagong.api.meta import condition, is_deleting
from sagong.api.pods import is_finished
from sagong.api.types import Obj
from sagong.core.clock import parse_time


def node_of(pod: Obj) -> str:
    """The node the pod is bound to, or ""."""
    return str((pod.get("spec") or {}).get("nodeName") or "")


def is_active(pod: Obj) -> bool:
    """Neither finished nor being deleted: what replica counts are about."""
    return not is_finished(pod) and not is_deleting(pod)


def is_terminating(pod: Obj) -> bool:
    """Being deleted, but its containers may still run."""
    return not is_finished(pod) and is_deleting(pod)


def active(pods: Iterable[Obj]) -> list[Obj]:
    return [pod for pod in pods if is_active(pod)]


def is_ready(pod: Obj) -> bool:
    found = condition(pod, "Ready")
    return found is not None and found.get("status") == "True"


def ready_since(pod: Obj) -> float | None:
    """When the pod became ready, in seconds since the epoch; None if it is not, or unknown."""
    found = condition(pod, "Ready")
    if found is None or found.get("status") != "True" or not found.get("lastTransitionTime"):
        return None
    return parse_time(found["lastTransitionTime"])


def is_available(pod: Obj, min_ready_seconds: int, now: float) -> bool:
    """Ready for at least so many seconds."""
    if not is_ready(pod):
        return False
    if not min_ready_seconds:
        return True
    since = ready_since(pod)
    return since is not None and since + min_ready_seconds <= now


def seconds_to_available(pods: Iterable[Obj], min_ready_seconds: int, now: float) -> float | None:
    """How long until the next ready pod becomes available; None if none is on its way."""
    if not min_ready_seconds:
        return None
    left = [
        since + min_ready_seconds - now
        for since in map(ready_since, pods)
        if since is not None and since + min_ready_seconds > now
    ]
    return min(left, default=None)


def created_at(obj: Obj) -> float:
    """Seconds since the epoch; 0 if not known."""
    text = obj["metadata"].get("creationTimestamp")
    return parse_time(text) if text else 0.0
