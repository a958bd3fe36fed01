"""What a single probe found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """``failure`` is "" for success; else the text of upstream's Unhealthy event."""

    failure: str = ""
    warning: str = ""  # success that is worth an event (a redirect to another host)

    @property
    def ok(self) -> bool:
        return not self.failure


SUCCESS = Outcome()
