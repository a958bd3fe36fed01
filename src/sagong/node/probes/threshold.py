"""How single outcomes become a probe's result: runs of equal outcomes against thresholds. Pure."""

from dataclasses import dataclass
from enum import Enum

from sagong.node.pods.model import ProbeKind


class Result(Enum):
    UNKNOWN = "unknown"
    SUCCESS = "success"
    FAILURE = "failure"


# Before the first outcome: alive, not ready, not known to have started (prober/worker.go).
INITIAL = {
    ProbeKind.LIVENESS: Result.SUCCESS,
    ProbeKind.READINESS: Result.FAILURE,
    ProbeKind.STARTUP: Result.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Tally:
    """The result so far and the run of equal outcomes that has not changed it yet."""

    result: Result
    last: bool | None = None
    run: int = 0

    def after(self, ok: bool, *, success_threshold: int, failure_threshold: int) -> "Tally":
        """The tally after one more outcome."""
        run = self.run + 1 if ok == self.last else 1
        threshold = success_threshold if ok else failure_threshold
        if run < threshold:
            return Tally(self.result, ok, run)
        return Tally(Result.SUCCESS if ok else Result.FAILURE, ok, run)
