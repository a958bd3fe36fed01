"""Reading Jobs and their pods (upstream ``pkg/controller/job/{indexed_job,tracking}_utils.go``)."""

from sagong.api.meta import annotations_of, condition, finalizers_of, is_deleting
from sagong.api.pods import phase_of
from sagong.api.types import Obj
from sagong.controllers.pods.state import created_at
from sagong.core.clock import format_time, parse_time

RESOURCE = "jobs.batch"
TRACKING = "batch.kubernetes.io/job-tracking"
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
INDEX_IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
OUR_NAME = "kubernetes.io/job-controller"  # spec.managedBy


def is_finished(job: Obj) -> bool:
    """Complete or Failed."""
    return any(
        (condition(job, type_) or {}).get("status") == "True" for type_ in ("Complete", "Failed")
    )


def finished_at(job: Obj) -> float | None:
    """When it became Complete or Failed, in seconds since the epoch."""
    for type_ in ("Complete", "Failed"):
        found = condition(job, type_)
        if found is not None and found.get("status") == "True":
            return parse_time(found["lastTransitionTime"])
    return None


def is_suspended(job: Obj) -> bool:
    return bool(job["spec"].get("suspend"))


def is_indexed(job: Obj) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def completions_of(job: Obj) -> int | None:
    completions = job["spec"].get("completions")
    return None if completions is None else int(completions)


def limits_each_index(job: Obj) -> bool:
    return job["spec"].get("backoffLimitPerIndex") is not None


def replaces_only_failed(job: Obj) -> bool:
    return bool(job["spec"].get("podReplacementPolicy") == "Failed")


def is_tracked(pod: Obj) -> bool:
    """Whether the pod still waits to be counted."""
    return TRACKING in finalizers_of(pod)


def index_of(pod: Obj) -> int | None:
    text = annotations_of(pod).get(COMPLETION_INDEX, "")
    return int(text) if text.isdecimal() else None


def index_failures(pod: Obj, annotation: str = INDEX_FAILURES) -> int:
    text = annotations_of(pod).get(annotation, "")
    return int(text) if text.isdecimal() else 0


def has_succeeded(pod: Obj) -> bool:
    return phase_of(pod) == "Succeeded"


def has_failed(pod: Obj, job: Obj) -> bool:
    """Failed, or deleted before it could; with podReplacementPolicy Failed only the former."""
    if phase_of(pod) == "Failed":
        return True
    return not replaces_only_failed(job) and is_deleting(pod) and not has_succeeded(pod)


def ended_at(pod: Obj) -> float:
    """When the pod's last container ended, or the best guess at it; seconds since the epoch."""
    status = pod.get("status") or {}
    ends = [
        parse_time(ended["finishedAt"])
        for container in status.get("containerStatuses") or ()
        if (ended := (container.get("state") or {}).get("terminated")) and ended.get("finishedAt")
    ]
    if ends:
        return max(ends)
    ready = condition(pod, "Ready")
    if ready is not None and ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return parse_time(ready["lastTransitionTime"])
    deleted = pod["metadata"].get("deletionTimestamp")
    if deleted:
        grace = pod["metadata"].get("deletionGracePeriodSeconds") or 0
        return parse_time(deleted) - grace
    return created_at(pod)


def job_condition(type_: str, status: str, reason: str, message: str, now: float) -> Obj:
    time = format_time(now)
    return {
        "type": type_,
        "status": status,
        "lastProbeTime": time,
        "lastTransitionTime": time,
        "reason": reason,
        "message": message,
    }
