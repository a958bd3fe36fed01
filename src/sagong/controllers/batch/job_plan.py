"""The next step of a Job: pods to create or delete, what to count, how it ends. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from sagong.api.meta import condition, is_deleting
from sagong.api.types import Obj
from sagong.controllers.batch.job_facts import (
    completions_of,
    is_indexed,
    is_suspended,
    job_condition,
    limits_each_index,
)
from sagong.controllers.batch.job_indexes import format_indexes
from sagong.controllers.batch.job_pods import PodChanges, plan_pods
from sagong.controllers.batch.job_policy import (
    failing_message,
    met_success_rule,
    restarts_past_limit,
    seconds_to_deadline,
)
from sagong.controllers.batch.job_tracking import Tally, tally, uncounted_of
from sagong.controllers.pods.conditions import without_zeros
from sagong.controllers.pods.state import is_active, is_ready, is_terminating
from sagong.core.clock import format_time


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the Job ends: first FailureTarget or SuccessCriteriaMet, once all is over the rest."""

    success: bool
    reason: str
    message: str

    @property
    def interim(self) -> str:
        return "SuccessCriteriaMet" if self.success else "FailureTarget"

    @property
    def final(self) -> str:
        return "Complete" if self.success else "Failed"


@dataclass(frozen=True, slots=True)
class Plan:
    pods: PodChanges
    # To be written before a finalizer goes; equal to the present one if there is nothing new.
    status: Obj
    release: Sequence[Obj] = ()
    verdict: Verdict | None = None
    # (reason, message) of Normal events.
    events: Sequence[tuple[str, str]] = ()
    # With deletions: take the pods' finalizers off first, so that they do not count as failed.
    untrack_deleted: bool = False
    look_again: float | None = None


def plan(job: Obj, pods: Sequence[Obj], *, now: float) -> Plan:
    """The Job is neither finished nor another controller's."""
    started = _started(job, now)
    found = tally(job, pods, ending=False)
    verdict = _verdict(job, pods, found, started, now)
    active = [pod for pod in pods if is_active(pod)]
    if verdict is not None:
        return _end(job, pods, verdict, started, now)
    changes = PodChanges()
    if not is_deleting(job):
        changes = plan_pods(
            job,
            pods,
            succeeded=found.succeeded,
            done=found.succeeded_indexes | found.failed_indexes,
            delayed=found.delayed,
            now=now,
        )
    if _is_complete(job, found, len(active)):
        done = Verdict(True, "CompletionsReached", "Reached expected number of succeeded pods")
        return _end(job, pods, done, started, now)
    status, events = _suspension(job, _counted(job, pods, found, started), now)
    left = seconds_to_deadline(job, status.get("startTime"), now)
    waits = [t for t in (left, changes.wait_seconds) if t is not None]
    return Plan(
        pods=changes,
        status=status,
        release=found.release,
        events=events,
        untrack_deleted=True,
        look_again=max(0.0, min(waits)) if waits else None,
    )


def _started(job: Obj, now: float) -> str | None:
    started = (job.get("status") or {}).get("startTime")
    if started is None and not is_suspended(job):
        return format_time(now)
    return None if started is None else str(started)


def _is_complete(job: Obj, found: Tally, active: int) -> bool:
    completions = completions_of(job)
    if completions is None:
        return found.succeeded > 0 and active == 0
    return found.succeeded >= completions and active == 0


def _verdict(
    job: Obj, pods: Sequence[Obj], found: Tally, started: str | None, now: float
) -> Verdict | None:
    for type_, success in (("FailureTarget", False), ("SuccessCriteriaMet", True)):
        decided = condition(job, type_)
        if decided is not None and decided.get("status") == "True":
            return Verdict(success, decided.get("reason", ""), decided.get("message", ""))
    message = failing_message(job, pods)
    if message is not None:
        return Verdict(False, "PodFailurePolicy", message)
    active = [pod for pod in pods if is_active(pod)]
    if found.failed > job["spec"].get("backoffLimit", 6) or restarts_past_limit(job, active):
        text = "Job has reached the specified backoff limit"
        return Verdict(False, "BackoffLimitExceeded", text)
    left = seconds_to_deadline(job, started, now)
    if left is not None and left <= 0:
        return Verdict(False, "DeadlineExceeded", "Job was active longer than specified deadline")
    return _indexed_verdict(job, found) if is_indexed(job) else None


def _indexed_verdict(job: Obj, found: Tally) -> Verdict | None:
    if limits_each_index(job) and found.failed_indexes:
        limit, failed = job["spec"].get("maxFailedIndexes"), len(found.failed_indexes)
        if limit is not None and failed > limit:
            text = "Job has exceeded the specified maximal number of failed indexes"
            return Verdict(False, "MaxFailedIndexesExceeded", text)
        if failed + len(found.succeeded_indexes) >= (completions_of(job) or 0):
            return Verdict(False, "FailedIndexes", "Job has failed indexes")
    message = met_success_rule(job, found.succeeded_indexes)
    return None if message is None else Verdict(True, "SuccessPolicy", message)


def _end(job: Obj, pods: Sequence[Obj], verdict: Verdict, started: str | None, now: float) -> Plan:
    """Remove what still runs, and write the decision down before anything else is final."""
    found = tally(job, pods, ending=True)
    status = _counted(job, pods, found, started)
    conditions = list(status.get("conditions") or [])
    if not any(c["type"] == verdict.interim for c in conditions):
        text = verdict.message
        conditions.append(job_condition(verdict.interim, "True", verdict.reason, text, now))
    active = [pod for pod in pods if is_active(pod)]
    return Plan(
        pods=PodChanges(delete=active),
        status=status | {"conditions": conditions},
        release=found.release,
        verdict=None if active else verdict,
    )


def _counted(job: Obj, pods: Sequence[Obj], found: Tally, started: str | None) -> Obj:
    old = job.get("status") or {}
    active = [pod for pod in pods if is_active(pod)]
    uncounted = uncounted_of(old)
    merged = {
        name: [*(uncounted.get(name) or ()), *new]
        for name, new in (("succeeded", found.new_succeeded), ("failed", found.new_failed))
    }
    status = dict(old)
    status["active"] = len(active)
    status["startTime"] = started
    if is_indexed(job):
        status["succeeded"] = len(found.succeeded_indexes)
        status["completedIndexes"] = format_indexes(found.succeeded_indexes)
        if limits_each_index(job):
            status["failedIndexes"] = format_indexes(found.failed_indexes)
    status = without_zeros(status, "ready", "terminating", "failedIndexes")
    status["uncountedTerminatedPods"] = {name: uids for name, uids in merged.items() if uids}
    status["ready"] = sum(map(is_ready, active))
    status["terminating"] = sum(map(is_terminating, pods))
    return status


def _suspension(job: Obj, status: Obj, now: float) -> tuple[Obj, list[tuple[str, str]]]:
    """The Suspended condition follows spec.suspend; a resumed Job starts its clock anew."""
    conditions = list(status.get("conditions") or [])
    place = next((i for i, c in enumerate(conditions) if c["type"] == "Suspended"), None)
    current = conditions[place]["status"] if place is not None else "False"
    suspended = is_suspended(job)
    if (current == "True") == suspended:
        return status, []
    word, text = ("Suspended", "suspended") if suspended else ("Resumed", "resumed")
    truth = "True" if suspended else "False"
    new = job_condition("Suspended", truth, f"Job{word}", f"Job {text}", now)
    if place is None:
        conditions.append(new)
    else:
        conditions[place] = new
    changed = status | {"conditions": conditions}
    if not suspended:
        changed["startTime"] = format_time(now)
    return changed, [(word, f"Job {text}")]


def finished(job: Obj, status: Obj, verdict: Verdict, *, now: float) -> Obj | None:
    """The status with the final condition, once every pod is over and counted; None before."""
    uncounted = uncounted_of(status)
    if uncounted.get("succeeded") or uncounted.get("failed") or status.get("terminating"):
        return None
    new = job_condition(verdict.final, "True", verdict.reason, verdict.message, now)
    conditions = [c for c in status.get("conditions") or [] if c["type"] != verdict.final]
    changed = status | {"conditions": [*conditions, new]}
    if verdict.success:
        changed["completionTime"] = new["lastTransitionTime"]
    return changed


def too_many_succeeded(job: Obj, status: Obj) -> bool:
    """More pods succeeded than asked for."""
    completions = completions_of(job)
    return completions is not None and (status.get("succeeded") or 0) > completions
