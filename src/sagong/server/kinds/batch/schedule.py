"""What is wrong with the schedule of a cron job, in upstream's words."""

from sagong.api.cron import CronError, parse_schedule


def schedule_problems(
    schedule: str, *, has_time_zone: bool, may_name_zone: bool = False
) -> list[str]:
    """Problems in upstream's words; empty if the schedule is right.

    ``may_name_zone``: the schedule named a zone before that was forbidden.
    """
    problems = []
    # Whether there is such a zone does not matter: new schedules may name none.
    fields = schedule
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        fields = schedule.partition(" ")[2]
    try:
        parse_schedule(fields)
    except CronError as e:
        problems.append(str(e))
    if "TZ" in schedule and not may_name_zone:
        problems.append("cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    elif "TZ" in schedule and has_time_zone:
        problems.append("cannot use both timeZone field and TZ or CRON_TZ in schedule")
    return problems
