"""Counting each finished pod exactly once, over any crash. Pure.

A pod carries a finalizer until its end is written down: first its uid enters
status.uncountedTerminatedPods, then the finalizer goes, then the uid becomes a count. An index of
an Indexed Job is its own record, so successes need no uid there.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api.meta import is_deleting, uid_of
from sagong.api.types import Obj
from sagong.controllers.batch.job_facts import (
    completions_of,
    has_failed,
    has_succeeded,
    index_failures,
    index_of,
    is_indexed,
    is_tracked,
    limits_each_index,
)
from sagong.controllers.batch.job_indexes import NONE, Indexes, parse_indexes
from sagong.controllers.batch.job_policy import match_failure
from sagong.controllers.pods.state import is_active

UNCOUNTED_MAX = 500  # uids in one status; pods past it are counted in the next round


@dataclass(frozen=True, slots=True)
class Tally:
    """Pods that have ended, by how far their counting has come."""

    succeeded: int  # pods, or indexes if Indexed; counted, uncounted and new
    failed: int
    new_succeeded: Sequence[str]  # uids not in status yet
    new_failed: Sequence[str]
    release: Sequence[Obj]  # pods whose finalizer may go once the status is written
    succeeded_indexes: Indexes = NONE
    failed_indexes: Indexes = NONE
    # By index, the failed pod that is kept, with its failure count, until it is replaced.
    delayed: Mapping[int, Obj] = field(default_factory=dict)


def uncounted_of(status: Obj) -> Mapping[str, Sequence[str]]:
    return status.get("uncountedTerminatedPods") or {}


def tally(job: Obj, pods: Sequence[Obj], *, ending: bool) -> Tally:
    """``ending``: the Job's end is decided, so nothing is kept for a replacement any more."""
    status = job.get("status") or {}
    uncounted = uncounted_of(status)
    known_succeeded = set(uncounted.get("succeeded") or ())
    known_failed = set(uncounted.get("failed") or ())
    succeeded_indexes, failed_indexes = _indexes(job, pods)
    delayed = {} if ending else _delayed(job, pods, succeeded_indexes | failed_indexes)
    keep = {uid_of(pod) for pod in delayed.values()}
    new_succeeded: list[str] = []
    new_failed: list[str] = []
    waiting_succeeded = waiting_failed = 0
    release: list[Obj] = []
    for pod in pods:
        if not is_tracked(pod):
            continue
        uid = uid_of(pod)
        failed = has_failed(pod, job)
        if not (failed or has_succeeded(pod) or is_deleting(job)):
            continue
        room = len(known_succeeded) + len(known_failed) + len(new_succeeded) + len(new_failed)
        fits = room < UNCOUNTED_MAX
        if fits and uid not in keep:
            release.append(pod)
        if has_succeeded(pod) and uid not in known_failed:
            if not is_indexed(job) and uid not in known_succeeded:
                if fits:
                    new_succeeded.append(uid)
                else:
                    waiting_succeeded += 1
        elif failed and uid not in known_failed and _counts(job, pod):
            if fits and uid not in keep:
                new_failed.append(uid)
            else:
                waiting_failed += 1
    succeeded = (status.get("succeeded") or 0) + len(known_succeeded) + len(new_succeeded)
    failures = (status.get("failed") or 0) + len(known_failed) + len(new_failed)
    return Tally(
        succeeded=len(succeeded_indexes) if is_indexed(job) else succeeded + waiting_succeeded,
        failed=failures + waiting_failed,
        new_succeeded=new_succeeded,
        new_failed=new_failed,
        release=release,
        succeeded_indexes=succeeded_indexes,
        failed_indexes=failed_indexes,
        delayed=delayed,
    )


def _counts(job: Obj, pod: Obj) -> bool:
    if is_indexed(job):
        index = index_of(pod)
        if index is None or index >= (completions_of(job) or 0):
            return False
    return match_failure(job, pod).counts


def _indexes(job: Obj, pods: Sequence[Obj]) -> tuple[Indexes, Indexes]:
    """Indexes that succeeded, and those that failed for good."""
    if not is_indexed(job):
        return NONE, NONE
    status, completions = job.get("status") or {}, completions_of(job) or 0
    succeeded = set(parse_indexes(status.get("completedIndexes") or "", completions))
    failed = set(parse_indexes(status.get("failedIndexes") or "", completions))
    for pod in pods:
        index = index_of(pod)
        if index is None or index >= completions or not is_tracked(pod):
            continue
        if has_succeeded(pod):
            succeeded.add(index)
        elif limits_each_index(job) and _fails_index(job, pod):
            failed.add(index)
    return frozenset(succeeded), frozenset(failed - succeeded)


def _fails_index(job: Obj, pod: Obj) -> bool:
    if not has_failed(pod, job):
        return False
    matched = match_failure(job, pod)
    if matched.action == "FailIndex":
        return True
    return matched.counts and index_failures(pod) >= job["spec"]["backoffLimitPerIndex"]


def _delayed(job: Obj, pods: Sequence[Obj], done: Indexes) -> dict[int, Obj]:
    if not limits_each_index(job):
        return {}
    running = {index_of(pod) for pod in pods if is_active(pod)}
    found: dict[int, Obj] = {}
    for pod in pods:
        index = index_of(pod)
        if index is None or index in done or index in running or not is_tracked(pod):
            continue
        if index >= (completions_of(job) or 0) or not has_failed(pod, job):
            continue
        best = found.get(index)
        if best is None or index_failures(pod) > index_failures(best):
            found[index] = pod
    return found


def settled(status: Obj, tracked: Collection[str], *, indexed: bool) -> Obj:
    """The status with those uids counted whose pods carry no finalizer any more.

    ``tracked``: uids of pods that still carry it.
    """
    uncounted = uncounted_of(status)
    left: dict[str, list[str]] = {}
    changed = dict(status)
    for name in ("succeeded", "failed"):
        uids = uncounted.get(name) or ()
        kept = [uid for uid in uids if uid in tracked]
        if kept:
            left[name] = kept
        count = len(uids) - len(kept)
        if count and not (indexed and name == "succeeded"):
            changed[name] = (changed.get(name) or 0) + count
    changed["uncountedTerminatedPods"] = left
    return changed
