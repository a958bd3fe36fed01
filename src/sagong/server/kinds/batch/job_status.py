"""Validation of the status of jobs (upstream: pkg/apis/batch/validation, registry/batch/job).

Jobs may be kept by controllers of others (``managedBy``), so what clients rely on is checked: what
has ended stays ended, and what is said of an end fits together. Most is checked only when it
changes, so that a status that was written before can still be written again.
"""

from dataclasses import dataclass

from sagong.api.meta import condition
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.batch.job_indexes import IndexesError, count_indexes, overlap

_STATUS = Path("status")
_CONDITIONS = _STATUS.child("conditions")
_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_TERMINAL = ("Failed", "Complete", "FailureTarget")


@dataclass(frozen=True, slots=True)
class _Change:
    """A job before and after, and the errors found in its new status."""

    new: Obj
    old: Obj
    errors: ErrorList

    @property
    def status(self) -> Obj:
        return self.new.get("status") or {}

    @property
    def before(self) -> Obj:
        return self.old.get("status") or {}

    def is_now(self, type_: str) -> bool:
        return _is_true(self.new, type_)

    def is_other(self, *types: str) -> bool:
        """Has any of the conditions become true, or is it true no more?"""
        return any(_is_true(self.old, t) != _is_true(self.new, t) for t in types)

    def ends_other(self) -> bool:
        return self.is_finished() != any(_is_true(self.old, t) for t in ("Complete", "Failed"))

    def is_finished(self) -> bool:
        return self.is_now("Complete") or self.is_now("Failed")

    def changes(self, *fields: str) -> bool:
        return any(self.status.get(field) != self.before.get(field) for field in fields)

    def conditions_wrong(self, detail: str) -> None:
        self.errors.invalid_as_a_whole(_CONDITIONS, detail)

    def wrong(self, field: str, detail: str) -> None:
        self.errors.invalid(_STATUS.child(field), self.status.get(field), detail)


def _is_true(job: Obj, type_: str) -> bool:
    return (condition(job, type_) or {}).get("status") == "True"


def validate_job_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    change = _Change(new, old, errors)
    for field in _COUNTS:
        checks.not_negative(change.status.get(field), _STATUS.child(field), errors)
    _validate_uncounted(change)
    _validate_ends(change)
    _validate_times(change)
    _validate_finished(change)
    _validate_indexes(change)
    _validate_success(change)
    _validate_transition(change)


def _validate_uncounted(change: _Change) -> None:
    uncounted, path = change.status.get("uncountedTerminatedPods") or {}, _STATUS
    seen: set[str] = set()
    for field in ("succeeded", "failed"):
        for i, uid in enumerate(uncounted.get(field) or ()):
            where = path.child("uncountedTerminatedPods", field).index(i)
            if not uid:
                change.errors.invalid(where, uid, "must not be empty")
            elif uid in seen:
                change.errors.duplicate(where, uid)
            seen.add(uid)


def _validate_ends(change: _Change) -> None:
    """Conditions that exclude or need each other."""
    complete, failed = change.is_now("Complete"), change.is_now("Failed")
    target, criteria = change.is_now("FailureTarget"), change.is_now("SuccessCriteriaMet")
    if change.is_other("Complete", "Failed") and complete and failed:
        change.conditions_wrong("cannot set Complete=True and Failed=true conditions")
    if change.is_other("Complete", "FailureTarget") and complete and target:
        change.conditions_wrong("cannot set Complete=True and FailureTarget=true conditions")
    if change.is_other("Failed", "FailureTarget") and failed and not target:
        message = "cannot set Failed=True condition without the FailureTarget=true condition"
        change.conditions_wrong(message)
    if change.is_other("Complete", "SuccessCriteriaMet") and complete and not criteria:
        message = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        change.conditions_wrong(message)


def _validate_times(change: _Change) -> None:
    complete = change.is_now("Complete")
    begun, ended = change.status.get("startTime"), change.status.get("completionTime")
    if change.is_other("Complete") or change.changes("completionTime"):
        if ended and not complete:
            message = "cannot set completionTime when there is no Complete=True condition"
            change.wrong("completionTime", message)
        if complete and not ended:
            message = "completionTime is required for Complete jobs"
            change.errors.required(_STATUS.child("completionTime"), message)
    if change.changes("startTime", "completionTime") and begun and ended and ended < begun:
        change.wrong("completionTime", "completionTime cannot be set before startTime")


def _validate_finished(change: _Change) -> None:
    """A finished job has begun, and nothing of it runs or is still to be counted."""
    status, other = change.status, change.ends_other()
    if (status.get("ready") or 0) > (status.get("active") or 0) and change.changes(
        "ready", "active"
    ):
        change.wrong("ready", "cannot set more ready pods than active")
    if not change.is_finished():
        return
    if (other or change.changes("active")) and (status.get("active") or 0) > 0:
        change.wrong("active", "active>0 is invalid for finished job")
    spec = change.new["spec"]
    never_began = spec.get("suspend") and spec.get("completions") == 0
    if (other or change.changes("startTime")) and not never_began and not status.get("startTime"):
        change.errors.required(_STATUS.child("startTime"), "startTime is required for finished job")
    uncounted = status.get("uncountedTerminatedPods") or {}
    shown = {"Succeeded": uncounted.get("succeeded"), "Failed": uncounted.get("failed")}
    if (other or change.changes("uncountedTerminatedPods")) and any(shown.values()):
        message = "uncountedTerminatedPods needs to be empty for finished job"
        change.errors.invalid(_STATUS.child("uncountedTerminatedPods"), shown, message)
    if (other or change.changes("terminating")) and (status.get("terminating") or 0) > 0:
        change.wrong("terminating", "terminating>0 is invalid for finished job")


def _validate_indexes(change: _Change) -> None:
    spec, status = change.new["spec"], change.status
    completions = spec.get("completions")
    done, failed = status.get("completedIndexes") or "", status.get("failedIndexes")
    if change.changes("completedIndexes"):
        if completions is not None:
            _validate_index_set("completedIndexes", done, completions, change)
        if done and spec.get("completionMode") != "Indexed":
            message = "cannot set non-empty completedIndexes when non-indexed completion mode"
            change.wrong("completedIndexes", message)
    if change.changes("failedIndexes") and failed is not None:
        if spec.get("backoffLimitPerIndex") is None:
            message = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
            change.wrong("failedIndexes", message)
        elif completions is not None:
            _validate_index_set("failedIndexes", failed, completions, change)
    if change.changes("failedIndexes", "completedIndexes") and failed and completions is not None:
        both = overlap(done, failed, completions)
        if both is not None:
            message = f"failedIndexes and completedIndexes overlap at index: {both}"
            change.wrong("failedIndexes", message)


def _validate_index_set(field: str, text: str, completions: int, change: _Change) -> None:
    try:
        count_indexes(text, completions)
    except IndexesError as problem:
        change.wrong(field, f"error parsing {field}: {problem}")


def _validate_success(change: _Change) -> None:
    if change.is_now("SuccessCriteriaMet"):
        for type_, shown in (("Failed", "Failed"), ("FailureTarget", "FailureTarget")):
            if change.is_now(type_):
                message = f"cannot set SuccessCriteriaMet=True and {shown}=true conditions"
                change.conditions_wrong(message)
    elif change.new["spec"].get("successPolicy") is not None and change.is_now("Complete"):
        message = (
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        )
        change.conditions_wrong(message)


def _validate_transition(change: _Change) -> None:
    """What only the status before forbids."""
    old, status, before = change.old, change.status, change.before
    for type_ in _TERMINAL:
        if _is_true(old, type_) and not change.is_now(type_):
            change.conditions_wrong(f"cannot disable the terminal {type_}=True condition")
    for field in _counters_that_grow(change.new["spec"]):
        if (status.get(field) or 0) < (before.get(field) or 0):
            shown = status.get(field) or 0
            message = f"cannot decrease the {field} counter"
            change.errors.invalid(_STATUS.child(field), shown, message)
    times = [s.get("completionTime") for s in (status, before)]
    if all(times) and times[0] != times[1]:
        change.wrong("completionTime", "completionTime cannot be mutated")
    runs = not change.new["spec"].get("suspend")
    if before.get("startTime") and change.changes("startTime") and runs:
        message = "startTime cannot be removed for unsuspended job"
        change.errors.required(_STATUS.child("startTime"), message)
    criteria, now = _is_true(old, "SuccessCriteriaMet"), change.is_now("SuccessCriteriaMet")
    if criteria and not now:
        change.conditions_wrong("cannot disable the SuccessCriteriaMet=True condition")
    if _is_true(old, "Complete") and not criteria and now:
        message = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        change.conditions_wrong(message)


def _counters_that_grow(spec: Obj) -> tuple[str, ...]:
    """An indexed job whose completions follow its parallelism may shrink."""
    elastic = spec.get("completionMode") == "Indexed" and (
        spec.get("completions") == spec.get("parallelism")
    )
    return ("failed",) if elastic else ("failed", "succeeded")
