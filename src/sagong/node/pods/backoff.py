"""Exponential back-off as client-go's ``flowcontrol.Backoff``, without a clock: pure functions.

An event (a crash, a failed pull) at ``event_at`` is still being waited out while less than the
delay has passed since it; after twice the maximum without an event the delay starts over.
"""

from sagong.node.pods.model import BackOff

INITIAL_SECONDS = 10.0


def _is_expired(entry: BackOff, event_at: float, max_seconds: float) -> bool:
    return event_at - entry.updated_at > 2 * max_seconds


def waits_until(entry: BackOff | None, event_at: float, *, max_seconds: float) -> float:
    """When the next attempt may be made; at once (``event_at``) if nothing is to be waited out."""
    if entry is None or _is_expired(entry, event_at, max_seconds):
        return event_at
    return event_at + entry.delay_seconds


def raised(entry: BackOff | None, event_at: float, *, now: float, max_seconds: float) -> BackOff:
    """The entry after one more attempt."""
    if entry is None or _is_expired(entry, event_at, max_seconds):
        return BackOff(min(INITIAL_SECONDS, max_seconds), now)
    return BackOff(min(2 * entry.delay_seconds, max_seconds), now)


def format_duration(seconds: float) -> str:
    """As Go prints a duration of whole seconds: ``10s``, ``1m20s``, ``5m0s``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
