"""What is wrong with the schedule of a cron job, in upstream's words."""

from sagong.api.cron import CronError, parse_schedule


def schedule_problems(schedule: str, *, has_time_zone: bool) -> list[str]:
    """Problems in upstream's words; empty if the schedule is right."""
    problems = []
    # A zone in the schedule is forbidden altogether, so it does not matter whether there is such.
    fields = schedule
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        fields = schedule.partition(" ")[2]
    try:
        parse_schedule(fields)
    except CronError as e:
        problems.append(str(e))
    if "TZ" in schedule:
        if has_time_zone:
            problems.append("cannot use both timeZone field and TZ or CRON_TZ in schedule")
        else:
            problems.append("cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    return problems
