"""How many replicas the use of a resource asks for. Pure.

Amounts are thousandths of a unit. Source of semantics: upstream's
``pkg/controller/podautoscaler/replica_calculator.go``: pods that are not ready, or of which nothing
is known, are counted such that they hold scaling back, never push it on.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sagong.api.meta import condition, is_deleting, name_of
from sagong.api.quantities import parse
from sagong.api.types import Obj
from sagong.core.clock import parse_time
from sagong.core.durations import seconds

# Upstream's --horizontal-pod-autoscaler-cpu-initialization-period, ...-initial-readiness-delay and
# ...-tolerance.
INITIALIZATION_SECONDS = 300.0
READINESS_DELAY_SECONDS = 30.0
TOLERANCE = 0.1


class Unknown(Exception):
    """Nothing can be said; the message is the user's to read."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Ratios of use to target from 1 - down to 1 + up change nothing."""

    up: float = TOLERANCE
    down: float = TOLERANCE

    def holds(self, ratio: float) -> bool:
        return 1 - self.down <= ratio <= 1 + self.up


@dataclass(frozen=True, slots=True)
class Sample:
    """What a pod used on average over a window before a time (seconds since the epoch)."""

    milli: int
    at: float
    window_seconds: float


@dataclass(frozen=True, slots=True)
class Target:
    """Either a share of what is requested, in percent, or an amount for each pod."""

    resource: str
    container: str = ""  # "": all of the pod's
    utilization: int | None = None
    milli: int = 0


@dataclass(frozen=True, slots=True)
class Proposal:
    replicas: int
    average_milli: int
    utilization: int | None = None


@dataclass(frozen=True, slots=True)
class Groups:
    """Pods by what their samples are good for; those that end are in none."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def samples_of(
    metrics: Sequence[Obj], resource: str, container: str, pods: frozenset[str]
) -> dict[str, Sample]:
    """Samples by pod, out of PodMetrics; a pod of which a container is missing has none."""
    found = {}
    for entry in metrics:
        containers = entry.get("containers") or ()
        used = [c["usage"].get(resource) for c in containers if container in ("", c["name"])]
        if name_of(entry) in pods and used and None not in used:
            milli = sum(parse(amount).milli_value for amount in used)
            window = seconds(entry.get("window") or "60s")
            found[name_of(entry)] = Sample(milli, parse_time(entry["timestamp"]), window)
    return found


def group(pods: Sequence[Obj], samples: Mapping[str, Sample], resource: str, now: float) -> Groups:
    unready, missing, ignored = set(), set(), set()
    ready = 0
    for pod in pods:
        name, status = name_of(pod), pod.get("status") or {}
        if is_deleting(pod) or status.get("phase") == "Failed":
            ignored.add(name)
        elif status.get("phase") == "Pending":
            unready.add(name)
        elif name not in samples:
            missing.add(name)
        elif resource == "cpu" and _is_unready(pod, samples[name], now):
            unready.add(name)
        else:
            ready += 1
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def _is_unready(pod: Obj, sample: Sample, now: float) -> bool:
    """Whether what the pod uses of the CPU says only that it is starting."""
    found = condition(pod, "Ready")
    started_text = (pod.get("status") or {}).get("startTime")
    if found is None or not started_text or not found.get("lastTransitionTime"):
        return True
    started, changed = parse_time(started_text), parse_time(found["lastTransitionTime"])
    if started + INITIALIZATION_SECONDS > now:
        return found["status"] == "False" or sample.at < changed + sample.window_seconds
    # Never ready since it started.
    return bool(found["status"] == "False" and started + READINESS_DELAY_SECONDS > changed)


def propose(
    current: int,
    target: Target,
    pods: Sequence[Obj],
    samples: Mapping[str, Sample],
    *,
    tolerance: Tolerance,
    now: float,
) -> Proposal:
    """Raises Unknown."""
    if not pods:
        raise Unknown("no pods returned by selector while calculating replica count")
    groups = group(pods, samples, target.resource, now)
    used = {n: s.milli for n, s in samples.items() if n not in groups.ignored | groups.unready}
    if not used:
        raise Unknown("did not receive metrics for targeted pods (pods might be unready)")
    requests = _requests(pods, target) if target.utilization is not None else {}
    measure = _measure(target, requests)
    ratio, average, utilization = measure(used)

    def proposal(replicas: int) -> Proposal:
        return Proposal(replicas, average, utilization)

    rising = bool(groups.unready) and ratio > 1
    if not rising and not groups.missing:
        if tolerance.holds(ratio):
            return proposal(current)
        return proposal(math.ceil(ratio * groups.ready))
    full = _full(target, requests)
    used |= {name: full(name) if ratio < 1 else 0 for name in groups.missing if ratio != 1}
    if rising:
        used |= dict.fromkeys(groups.unready, 0)
    again, _, _ = measure(used)
    if tolerance.holds(again) or (ratio < 1 < again) or (again < 1 < ratio):
        return proposal(current)
    replicas = math.ceil(again * len(used))
    if (again < 1 and replicas > current) or (again > 1 and replicas < current):
        return proposal(current)
    return proposal(replicas)


Measure = Callable[[Mapping[str, int]], tuple[float, int, int | None]]


def _measure(target: Target, requests: Mapping[str, int]) -> Measure:
    """Of use by pod: its ratio to the target, the average use, and the use in percent."""

    def by_amount(used: Mapping[str, int]) -> tuple[float, int, int | None]:
        average = sum(used.values()) // len(used)
        return average / target.milli, average, None

    def by_share(used: Mapping[str, int]) -> tuple[float, int, int | None]:
        known = {name: amount for name, amount in used.items() if name in requests}
        requested = sum(requests[name] for name in known)
        if not requested:
            raise Unknown("no metrics returned matched known pods")
        total = sum(known.values())
        percent = total * 100 // requested
        assert target.utilization is not None
        return percent / target.utilization, total // len(known), percent

    return by_amount if target.utilization is None else by_share


def _full(target: Target, requests: Mapping[str, int]) -> Callable[[str], int]:
    """What a pod of which nothing is known is taken to use when the others use little."""
    share = target.utilization
    if share is None:
        return lambda name: target.milli
    return lambda name: requests[name] * max(100, share) // 100


def _requests(pods: Sequence[Obj], target: Target) -> dict[str, int]:
    found = {}
    for pod in pods:
        spec = pod["spec"]
        sidecars = [
            c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"
        ]
        total = 0
        for container in [*spec["containers"], *sidecars]:
            if target.container not in ("", container["name"]):
                continue
            given = (container.get("resources") or {}).get("requests") or {}
            if target.resource not in given:
                raise Unknown(
                    f"missing request for {target.resource} in container {container['name']} of "
                    f"Pod {name_of(pod)}"
                )
            total += parse(given[target.resource]).milli_value
        found[name_of(pod)] = total
    return found
