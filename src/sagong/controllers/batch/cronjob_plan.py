"""When a CronJob runs next, what it has missed, and which of its Jobs may go. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sagong.api.cron import CronError, Every, Schedule, parse_schedule
from sagong.api.meta import condition, is_deleting, name_of, namespace_of, owner_reference, uid_of
from sagong.api.types import Obj
from sagong.controllers.batch.job_facts import is_finished
from sagong.controllers.pods.state import created_at
from sagong.core.clock import format_time, parse_time

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MISSED_MANY = 100  # starts missed past which the user is told
# Look again a little after the minute, so that clocks that are read in turn agree.
LATE_SECONDS = 0.1

Event = tuple[str, str, str]  # type, reason, message


@dataclass(frozen=True, slots=True)
class Start:
    """A Job to create now; with concurrencyPolicy Replace, after these active ones are deleted."""

    job: Obj
    scheduled: float
    replaces: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    status: Obj  # before the start
    events: Sequence[Event] = ()
    start: Start | None = None
    look_again: float | None = None


def plan(cron_job: Obj, jobs: Sequence[Obj], missing: Iterable[str], *, now: float) -> Plan:
    """``missing``: uids in status.active whose Job no longer exists, looked at live."""
    events: list[Event] = []
    status = _followed(cron_job, jobs, frozenset(missing), events)
    if is_deleting(cron_job) or cron_job["spec"].get("suspend"):
        return Plan(status, events)
    schedule = _schedule(cron_job, events)
    if schedule is None:
        return Plan(status, events)
    following = schedule.next(now)
    again = None if following is None else following - now + LATE_SECONDS
    due = _due(cron_job, status, schedule, now, events)
    start = _start(cron_job, status, due, now, events) if due is not None else None
    return Plan(status, events, start, again)


def _followed(
    cron_job: Obj, jobs: Sequence[Obj], missing: frozenset[str], events: list[Event]
) -> Obj:
    """status.active without what is over, and the time of the last success."""
    status = dict(cron_job.get("status") or {})
    active = list(status.get("active") or ())
    known = {ref["uid"] for ref in active}
    for job in jobs:
        uid, over = uid_of(job), is_finished(job)
        if uid not in known and not over:
            text = f"Saw a job that the controller did not create or forgot: {name_of(job)}"
            events.append(("Warning", "UnexpectedJob", text))
        elif uid in known and over:
            active = [ref for ref in active if ref["uid"] != uid]
            ended = "Complete" if condition(job, "Complete") else "Failed"
            text = f"Saw completed job: {name_of(job)}, condition: {ended}"
            events.append(("Normal", "SawCompletedJob", text))
        ended_at = (job.get("status") or {}).get("completionTime")
        if over and ended_at and ended_at > status.get("lastSuccessfulTime", ""):
            status["lastSuccessfulTime"] = ended_at
    gone = [ref["name"] for ref in active if ref["uid"] in missing]
    events += [("Normal", "MissingJob", f"Active job went missing: {name}") for name in gone]
    active = [ref for ref in active if ref["uid"] not in missing]
    status.pop("active", None)
    return status | ({"active": active} if active else {})


def _schedule(cron_job: Obj, events: list[Event]) -> Schedule | Every | None:
    text, zone = cron_job["spec"]["schedule"], cron_job["spec"].get("timeZone")
    try:
        schedule = parse_schedule(text, zone)
    except (ZoneInfoNotFoundError, OSError) as error:
        events.append(("Warning", "UnknownTimeZone", f'invalid timeZone: "{zone}": {error}'))
        return None
    except CronError as error:
        message = f'unparseable schedule: "{text}" : {error}'
        events.append(("Warning", "UnparseableSchedule", message))
        return None
    if "TZ" in text:
        message = f'CRON_TZ or TZ used in schedule "{text}" is not officially supported'
        events.append(("Warning", "UnsupportedSchedule", message))
    return schedule


def _due(
    cron_job: Obj,
    status: Obj,
    schedule: Schedule | Every,
    now: float,
    events: list[Event],
) -> float | None:
    """The most recent time that is not served yet."""
    last = status.get("lastScheduleTime")
    since = parse_time(last) if last else created_at(cron_job)
    deadline = cron_job["spec"].get("startingDeadlineSeconds")
    if deadline is not None:
        since = max(since, now - float(deadline))
    recent, missed_many = most_recent(schedule, since, now)
    if missed_many:
        text = (
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds "
            "or check clock skew"
        )
        events.append(("Warning", "TooManyMissedTimes", text))
    return recent


def most_recent(schedule: Schedule | Every, since: float, now: float) -> tuple[float | None, bool]:
    """The last scheduled time in (since, now], and whether very many were missed before it."""
    first = schedule.next(since)
    if first is None or first > now:
        return None, False
    second = schedule.next(first)
    if second is None or second > now:
        return first, False
    # Jump close to now at the first interval's pace, then walk: outages may last for years.
    between = second - first
    count = int((now - first) // between) + 1
    recent, walk = first, schedule.next(max(first, first + (count - 2) * between))
    if walk is None or walk > now:
        walk = second
    while walk is not None and walk <= now:
        recent, walk = walk, schedule.next(walk)
    return recent, count > MISSED_MANY


def job_name(cron_job: Obj, scheduled: float) -> str:
    return f"{name_of(cron_job)}-{int(scheduled) // 60}"


def _start(
    cron_job: Obj, status: Obj, scheduled: float, now: float, events: list[Event]
) -> Start | None:
    spec, active = cron_job["spec"], status.get("active") or []
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None and scheduled + float(deadline) < now:
        at = datetime.fromtimestamp(scheduled, UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
        text = f"Missed scheduled time to start a job: {at}"
        events.append(("Warning", "MissSchedule", text))
        return None
    name = job_name(cron_job, scheduled)
    if any(ref["name"] == name for ref in active):
        return None
    if status.get("lastScheduleTime") == format_time(scheduled):
        return None
    policy = spec.get("concurrencyPolicy", "Allow")
    if policy == "Forbid" and active:
        text = (
            "Not starting job because prior execution is running and concurrency policy is Forbid"
        )
        events.append(("Normal", "JobAlreadyActive", text))
        return None
    replaces = [ref["name"] for ref in active] if policy == "Replace" else []
    return Start(new_job(cron_job, scheduled), scheduled, replaces)


def new_job(cron_job: Obj, scheduled: float) -> Obj:
    """The Job of a scheduled time; its name is the same however often it is tried."""
    template = cron_job["spec"]["jobTemplate"]
    meta = template.get("metadata") or {}
    zone = cron_job["spec"].get("timeZone")
    at = datetime.fromtimestamp(scheduled, ZoneInfo(zone) if zone else UTC)
    stamp = at.isoformat(timespec="seconds").replace("+00:00", "Z")
    metadata: Obj = {
        "name": job_name(cron_job, scheduled),
        "namespace": namespace_of(cron_job),
        "labels": dict(meta.get("labels") or {}),
        "annotations": {**(meta.get("annotations") or {}), SCHEDULED_AT: stamp},
        "ownerReferences": [owner_reference(cron_job)],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


def started(status: Obj, job: Obj, scheduled: float, replaced: Iterable[str]) -> Obj:
    """The status once the Job exists."""
    gone = set(replaced)
    meta = job["metadata"]
    ref = {
        "kind": "Job",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "apiVersion": "batch/v1",
        "resourceVersion": meta["resourceVersion"],
    }
    active = [r for r in status.get("active") or () if r["name"] not in gone]
    return status | {"active": [*active, ref], "lastScheduleTime": format_time(scheduled)}


def past_history(cron_job: Obj, jobs: Iterable[Obj]) -> list[Obj]:
    """Finished Jobs past the history limits, the oldest first."""
    complete: list[Obj] = []
    failed: list[Obj] = []
    for job in jobs:
        if is_finished(job) and not is_deleting(job):
            (complete if condition(job, "Complete") else failed).append(job)
    excess: list[Obj] = []
    for found, field in (
        (complete, "successfulJobsHistoryLimit"),
        (failed, "failedJobsHistoryLimit"),
    ):
        limit = cron_job["spec"].get(field)
        if limit is not None and len(found) > limit:
            found.sort(key=_begun)
            excess += found[: len(found) - limit]
    return excess


def _begun(job: Obj) -> tuple[str, str]:
    return (job.get("status") or {}).get("startTime") or "~", name_of(job)
