"""Which pods a Job creates and deletes now, and when it may try again. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sagong.api.meta import name_of
from sagong.api.types import Obj
from sagong.controllers.batch.job_facts import (
    COMPLETION_INDEX,
    INDEX_FAILURES,
    INDEX_IGNORED_FAILURES,
    TRACKING,
    completions_of,
    ended_at,
    has_failed,
    has_succeeded,
    index_failures,
    index_of,
    is_indexed,
    is_suspended,
    limits_each_index,
    replaces_only_failed,
)
from sagong.controllers.batch.job_indexes import Indexes
from sagong.controllers.batch.job_policy import match_failure
from sagong.controllers.pods.control import BURST_PODS
from sagong.controllers.pods.ranking import to_delete
from sagong.controllers.pods.state import is_active, is_terminating
from sagong.controllers.pods.template import labelled, pod_from_template

BACKOFF_FIRST_SECONDS = 10.0
BACKOFF_LIMIT_SECONDS = 600.0
_INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
_GENERATED_NAME_CHARS_MAX = 63 - 5


@dataclass(frozen=True, slots=True)
class PodChanges:
    """Either creations or deletions; seconds until creation may be tried, if it must wait."""

    create: Sequence[Obj] = ()
    delete: Sequence[Obj] = ()
    wait_seconds: float | None = None


def plan_pods(
    job: Obj,
    pods: Sequence[Obj],
    *,
    succeeded: int,
    done: Indexes,
    delayed: Mapping[int, Obj],
    now: float,
) -> PodChanges:
    """``succeeded`` pods or indexes; ``done``: indexes that succeeded or failed for good;
    ``delayed``: by index, the failed pod that is kept until it is replaced.
    """
    active = [pod for pod in pods if is_active(pod)]
    wanted = _wanted(job, len(active), succeeded)
    surplus = _surplus(job, active, max(0, len(active) - wanted), now)
    if surplus:
        return PodChanges(delete=surplus[:BURST_PODS])
    if is_suspended(job):
        return PodChanges()
    terminating = sum(map(is_terminating, pods)) if replaces_only_failed(job) else 0
    missing = min(wanted - terminating - len(active), BURST_PODS)
    if missing <= 0:
        return PodChanges()
    if not limits_each_index(job):
        wait = backoff_seconds(job, pods, now)
        if wait > 0:
            return PodChanges(wait_seconds=wait)
    if not is_indexed(job):
        return PodChanges(create=[new_pod(job)] * missing)
    return _indexed(job, pods, done, delayed, missing=missing, now=now)


def _wanted(job: Obj, active: int, succeeded: int) -> int:
    if is_suspended(job):
        return 0
    parallelism = int(job["spec"].get("parallelism", 1))
    completions = completions_of(job)
    if completions is None:
        # A work queue: once one pod succeeded no new ones are started.
        return active if succeeded > 0 else parallelism
    return max(0, min(completions - succeeded, parallelism))


def _surplus(job: Obj, active: Sequence[Obj], at_least: int, now: float) -> list[Obj]:
    removed: list[Obj] = []
    left = list(active)
    if is_indexed(job):
        removed, left = _split_duplicates(left, completions_of(job) or 0, now)
    more = at_least - len(removed)
    if more > 0:
        removed += to_delete(left, more, related=(), now=now)
    return removed


def _split_duplicates(
    active: Sequence[Obj], completions: int, now: float
) -> tuple[list[Obj], list[Obj]]:
    """Pods that have no business: of one index all but the best, and indexes out of range."""
    by_index: dict[int | None, list[Obj]] = {}
    for pod in active:
        by_index.setdefault(index_of(pod), []).append(pod)
    removed, left = [], []
    for index, pods in by_index.items():
        if index is None or index >= completions:
            removed += pods
        else:
            gone = to_delete(pods, len(pods) - 1, related=(), now=now) if len(pods) > 1 else []
            removed += gone
            left += [pod for pod in pods if not any(pod is g for g in gone)]
    return removed, left


def backoff_seconds(job: Obj, pods: Iterable[Obj], now: float) -> float:
    """How long creation still waits after the failures since the last success."""
    last_success, failures = 0.0, []
    for pod in pods:
        if has_succeeded(pod):
            last_success = max(last_success, ended_at(pod))
        elif has_failed(pod, job) and match_failure(job, pod).counts:
            failures.append(ended_at(pod))
    recent = [time for time in failures if time > last_success]
    return _remaining(len(recent), max(recent, default=0.0), now)


def _remaining(failures: int, last: float, now: float) -> float:
    if not failures:
        return 0.0
    delay = min(BACKOFF_FIRST_SECONDS * 2.0 ** min(failures - 1, 16), BACKOFF_LIMIT_SECONDS)
    return max(0.0, last + delay - now)


def _indexed(
    job: Obj,
    pods: Sequence[Obj],
    done: Indexes,
    delayed: Mapping[int, Obj],
    *,
    missing: int,
    now: float,
) -> PodChanges:
    taken = set(done)
    for pod in pods:
        if is_active(pod) or (replaces_only_failed(job) and is_terminating(pod)):
            index = index_of(pod)
            if index is not None:
                taken.add(index)
    create: list[Obj] = []
    waits: list[float] = []
    for index in range(completions_of(job) or 0):
        if index in taken or len(create) >= missing:
            if len(create) >= missing:
                break
            continue
        failed = delayed.get(index)
        wait = index_backoff_seconds(failed, now) if failed is not None else 0.0
        if wait > 0:
            waits.append(wait)
        else:
            create.append(new_pod(job, index, failed))
    return PodChanges(create=create, wait_seconds=min(waits, default=None))


def index_backoff_seconds(failed: Obj, now: float) -> float:
    """How long an index waits after its last failed pod."""
    failures = 1 + index_failures(failed) + index_failures(failed, INDEX_IGNORED_FAILURES)
    return _remaining(failures, ended_at(failed), now)


def new_pod(job: Obj, index: int | None = None, failed: Obj | None = None) -> Obj:
    """A pod of the Job, tracked by a finalizer; ``failed`` is the one it replaces at its index."""
    template = job["spec"]["template"]
    if index is not None:
        template = labelled(template, {COMPLETION_INDEX: str(index)})
    pod = pod_from_template(template, job)
    metadata = pod["metadata"]
    metadata["finalizers"] = [*metadata.get("finalizers", ()), TRACKING]
    if index is None:
        return pod
    annotations = metadata.setdefault("annotations", {})
    annotations[COMPLETION_INDEX] = str(index)
    if limits_each_index(job):
        annotations.update(_failure_counts(job, failed))
    suffix = f"-{index}-"
    metadata["generateName"] = name_of(job)[: _GENERATED_NAME_CHARS_MAX - len(suffix)] + suffix
    pod["spec"] = _with_index(template["spec"], f"{name_of(job)}-{index}")
    return pod


def _failure_counts(job: Obj, failed: Obj | None) -> dict[str, str]:
    if failed is None:
        return {INDEX_FAILURES: "0"}
    counted = index_failures(failed)
    ignored = index_failures(failed, INDEX_IGNORED_FAILURES)
    if match_failure(job, failed).counts:
        counted += 1
    else:
        ignored += 1
    counts = {INDEX_FAILURES: str(counted)}
    return counts | ({INDEX_IGNORED_FAILURES: str(ignored)} if ignored else {})


def _with_index(spec: Obj, hostname: str) -> Obj:
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{COMPLETION_INDEX}']"}}
    variable = {"name": _INDEX_VARIABLE, "valueFrom": source}

    def with_variable(container: Obj) -> Obj:
        env = container.get("env") or []
        if any(v["name"] == _INDEX_VARIABLE for v in env):
            return container
        return container | {"env": [*env, variable]}

    changed = spec | {"hostname": hostname}
    for field in ("initContainers", "containers"):
        if spec.get(field):
            changed[field] = [with_variable(c) for c in spec[field]]
    return changed
