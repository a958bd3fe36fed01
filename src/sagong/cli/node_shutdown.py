"""Options of an agent: how long a shutdown of its machine waits for pods (the kubelet's names)."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from sagong.node.shutdown.groups import Period, ShutdownSettings

SHUTDOWN_KEYS = {
    "shutdownGracePeriod": "shutdown_grace_period",
    "shutdownGracePeriodCriticalPods": "shutdown_grace_period_critical_pods",
    "shutdownGracePeriodByPodPriority": "shutdown_grace_period_by_pod_priority",
}
# Go's durations, as far as whole seconds can come of them.
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?|0")
_OPTIONS = (
    click.option("--shutdown-grace-period", default="0s", show_default=True),
    click.option(
        "--shutdown-grace-period-critical-pods",
        default="0s",
        show_default=True,
        help="The end of it, for critical pods.",
    ),
    click.option(
        "--shutdown-grace-period-by-pod-priority",
        type=click.UNPROCESSED,
        default="",
        metavar="PRIORITY=SECONDS,...",
        help="In place of the two above.",
    ),
)


def shutdown_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_shutdown(settings: dict[str, Any]) -> ShutdownSettings:
    """They are taken out of the settings. Raises click.BadParameter."""
    grace, critical, listed = (settings.pop(name) for name in SHUTDOWN_KEYS.values())
    try:
        made = ShutdownSettings(_seconds(grace), _seconds(critical), _periods(listed))
    except (ValueError, KeyError, TypeError) as error:
        raise click.BadParameter(f"graceful shutdown: {error}") from error
    if made.problem:
        raise click.BadParameter(made.problem)
    return made


def _seconds(text: Any) -> int:
    match = _DURATION.fullmatch(str(text))
    if match is None or not match[0]:
        raise ValueError(f"{text}: not a duration of whole seconds, as 1m30s")
    hours, minutes, seconds = (int(number or 0) for number in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def _periods(value: str | Sequence[Mapping[str, int]]) -> Sequence[Period]:
    """Of a flag, or the list of a configuration file."""
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part]
        return [Period(int(priority), int(seconds)) for priority, _, seconds in pairs]
    return [Period(int(e["priority"]), int(e["shutdownGracePeriodSeconds"])) for e in value]
