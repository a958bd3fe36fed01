"""Cron jobs. The job template gets no job defaults: those come when a job is made from it."""

from zoneinfo import available_timezones

from sagong.api.pod_defaults import default_pod_template
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.batch.job import default_failure_policy
from sagong.server.kinds.batch.job_validation import validate_job_spec
from sagong.server.kinds.batch.schedule import schedule_problems
from sagong.server.kinds.core.pod_warnings import cron_job_warnings
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    job_template = spec.setdefault("jobTemplate", {})
    job_template.setdefault("metadata", {})
    job_spec = job_template.setdefault("spec", {})
    default_pod_template(job_spec.setdefault("template", {}))
    default_failure_policy(job_spec)
    if not spec.get("concurrencyPolicy"):
        spec["concurrencyPolicy"] = "Allow"
    for name, value in (
        ("suspend", False),
        ("successfulJobsHistoryLimit", 3),
        ("failedJobsHistoryLimit", 1),
    ):
        if spec.get(name) is None:
            spec[name] = value
    obj.setdefault("status", {})


# A job's name is the cron job's and eleven characters of time; jobs' names end at 63.
_NAME_MAX = 52
_SPEC = Path("spec")


def validate(obj: Obj, errors: ErrorList) -> None:
    _validate_spec(obj["spec"], None, errors)
    name = obj["metadata"].get("name") or ""
    if len(name) > _NAME_MAX:
        message = "must be no more than 52 characters"
        errors.invalid(Path("metadata").child("name"), name, message)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """Names that were long before the rule may stay, and so may time zones."""
    _validate_spec(new["spec"], old["spec"], errors)


def _validate_spec(spec: Obj, old: Obj | None, errors: ErrorList) -> None:
    schedule, where = spec.get("schedule") or "", _SPEC.child("schedule")
    if checks.required(schedule, where, errors):
        zoned = old is not None and "TZ" in (old.get("schedule") or "")
        has_zone = spec.get("timeZone") is not None
        for problem in schedule_problems(schedule, has_time_zone=has_zone, may_name_zone=zoned):
            errors.invalid(where, schedule, problem)
    checks.not_negative(
        spec.get("startingDeadlineSeconds"), _SPEC.child("startingDeadlineSeconds"), errors
    )
    if old is None or old.get("timeZone") != spec.get("timeZone"):
        _validate_time_zone(spec, errors)
    policy = spec.get("concurrencyPolicy") or ""
    policies = ("Allow", "Forbid", "Replace")
    checks.one_of(policy, policies, _SPEC.child("concurrencyPolicy"), errors)
    job_spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    at = _SPEC.child("jobTemplate", "spec")
    validate_job_spec(job_spec, at, errors)
    if job_spec.get("selector") is not None:
        message = "`selector` will be auto-generated"
        errors.invalid(at.child("selector"), job_spec["selector"], message)
    if job_spec.get("manualSelector"):
        errors.not_supported(at.child("manualSelector"), True, ["nil", "false"])
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        checks.not_negative(spec.get(field), _SPEC.child(field), errors)


def _validate_time_zone(spec: Obj, errors: ErrorList) -> None:
    zone, where = spec.get("timeZone"), _SPEC.child("timeZone")
    if zone is None:
        return
    if not zone:
        errors.invalid(where, zone, "timeZone must be nil or non-empty string")
        return
    if zone.lower() == "local":
        errors.invalid(
            where,
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        )
    if zone != "Local" and zone not in available_timezones():
        errors.invalid(where, zone, f"unknown time zone {zone}")


STRATEGY = Strategy(
    warnings=cron_job_warnings,
    validate=validate,
    validate_update=validate_update,
    validates_on_update=False,
    default=default,
    has_generation=True,
)
