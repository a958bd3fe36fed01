"""What ends a Job: failures past their limit, the deadline, its policies. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sagong.api.meta import name_of, namespace_of
from sagong.api.pods import phase_of
from sagong.api.types import Obj
from sagong.controllers.batch.job_facts import has_failed, is_suspended
from sagong.controllers.batch.job_indexes import Indexes, parse_indexes
from sagong.core.clock import parse_time


@dataclass(frozen=True, slots=True)
class Matched:
    """What the pod failure policy says of a failed pod."""

    action: str | None  # Ignore, Count, FailIndex, FailJob; None: no rule matched
    message: str = ""

    @property
    def counts(self) -> bool:
        """Whether the failure counts towards the back-off limit."""
        return self.action != "Ignore"


def match_failure(job: Obj, pod: Obj) -> Matched:
    """The first rule that matches a failed pod decides."""
    policy = job["spec"].get("podFailurePolicy") or {}
    for number, rule in enumerate(policy.get("rules") or ()):
        action, why = rule["action"], None
        if rule.get("onExitCodes"):
            why = _exit_code(pod, rule["onExitCodes"])
        elif rule.get("onPodConditions"):
            why = _condition(pod, rule["onPodConditions"])
        if why is not None:
            place = f"{namespace_of(pod)}/{name_of(pod)}"
            text = why.format(pod=place) + f" matching {action} rule at index {number}"
            return Matched(action, text)
    return Matched(None)


def _exit_code(pod: Obj, requirement: Obj) -> str | None:
    status = pod.get("status") or {}
    named, values = requirement.get("containerName"), requirement.get("values") or ()
    for field in ("containerStatuses", "initContainerStatuses"):
        for container in status.get(field) or ():
            ended = (container.get("state") or {}).get("terminated")
            if ended is None or (named is not None and container["name"] != named):
                continue
            code = ended.get("exitCode", 0)
            if code != 0 and (code in values) == (requirement["operator"] == "In"):
                return f"Container {container['name']} for pod {{pod}} failed with exit code {code}"
    return None


def _condition(pod: Obj, patterns: Iterable[Obj]) -> str | None:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    for pattern in patterns:
        for found in conditions:
            wanted = pattern.get("status", "True")
            if found["type"] == pattern["type"] and found.get("status") == wanted:
                return f"Pod {{pod}} has condition {found['type']}"
    return None


def failing_message(job: Obj, pods: Iterable[Obj]) -> str | None:
    """Why the failure policy fails the Job at once, if it does."""
    if not job["spec"].get("podFailurePolicy"):
        return None
    for pod in pods:
        if has_failed(pod, job):
            matched = match_failure(job, pod)
            if matched.action == "FailJob":
                return matched.message
    return None


def met_success_rule(job: Obj, succeeded: Indexes) -> str | None:
    """The message of the first success rule that is met, if any."""
    policy = job["spec"].get("successPolicy") or {}
    completions = job["spec"].get("completions") or 0
    for number, rule in enumerate(policy.get("rules") or ()):
        count, text = rule.get("succeededCount"), rule.get("succeededIndexes")
        wanted = None if text is None else parse_indexes(text, completions)
        if _is_met(wanted, count, succeeded):
            return f"Matched rules at index {number}"
    return None


def _is_met(wanted: Indexes | None, count: int | None, succeeded: Indexes) -> bool:
    if wanted is None:
        return count is not None and len(succeeded) >= count
    if count is None:
        return wanted <= succeeded
    return len(wanted & succeeded) >= count


def restarts_past_limit(job: Obj, pods: Sequence[Obj]) -> bool:
    """With restartPolicy OnFailure containers restart in place: their restarts count instead."""
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        container.get("restartCount") or 0
        for pod in pods
        if phase_of(pod) in ("Running", "Pending")
        for field in ("initContainerStatuses", "containerStatuses")
        for container in (pod.get("status") or {}).get(field) or ()
    )
    limit = job["spec"].get("backoffLimit", 6)
    return restarts > 0 if limit == 0 else bool(restarts >= limit)


def seconds_to_deadline(job: Obj, started: str | None, now: float) -> float | None:
    """Until activeDeadlineSeconds are over; None without a deadline or while suspended."""
    limit = job["spec"].get("activeDeadlineSeconds")
    if limit is None or started is None or is_suspended(job):
        return None
    return parse_time(started) + float(limit) - now
