"""CPU and memory as the kernel counts them: shares, quota, bytes, OOM score. Pure."""

from dataclasses import dataclass
from typing import Any

from sagong.api.quantities import parse
from sagong.api.types import Obj
from sagong.node.pods.model import Kind
from sagong.node.pods.spec import all_containers, containers_of, is_sidecar, qos_class

CPU_PERIOD_MICROSECONDS = 100_000
CPU_QUOTA_MIN = 1_000  # the kernel refuses less
CPU_SHARES_MIN = 2
CPU_SHARES_MAX = 262_144


@dataclass(frozen=True, slots=True)
class Binding:
    """The processors and NUMA nodes that a container keeps to; "" for any."""

    cpus: str = ""
    memory_nodes: str = ""
    is_exclusive: bool = False  # nobody else is on the processors


ANYWHERE = Binding()


@dataclass(frozen=True, slots=True)
class Amounts:
    """Thousandths of a core and bytes; None where not set."""

    cpu_milli: int | None = None
    memory_bytes: int | None = None


def amounts(resources: Obj, which: str) -> Amounts:
    """``which`` is limits or requests."""
    listed = resources.get(which) or {}
    cpu, memory = listed.get("cpu"), listed.get("memory")
    return Amounts(
        parse(cpu).milli_value if cpu is not None else None,
        parse(memory).value if memory is not None else None,
    )


def cpu_shares(milli: int | None) -> int:
    """Relative weight: 1024 a core."""
    if not milli:
        return CPU_SHARES_MIN
    return min(max(milli * 1024 // 1000, CPU_SHARES_MIN), CPU_SHARES_MAX)


def cpu_quota(milli: int | None) -> int:
    """Microseconds of CPU in each period; 0 means no limit."""
    if not milli:
        return 0
    return max(milli * CPU_PERIOD_MICROSECONDS // 1000, CPU_QUOTA_MIN)


def oom_score(pod: Obj, container: Obj, *, memory_capacity_bytes: int, may_lower: bool) -> int:
    """Who is killed first when memory runs out; Guaranteed last (``qos/policy.go``)."""
    if pod["spec"].get("priorityClassName") in ("system-node-critical",):
        score = -997
    else:
        quality = qos_class(pod)
        if quality == "Guaranteed":
            score = -997
        elif quality == "BestEffort":
            score = 1000
        else:
            request = amounts(container.get("resources") or {}, "requests").memory_bytes or 0
            share = 1000 - 1000 * request // max(memory_capacity_bytes, 1)
            # 3: below every BestEffort pod, above every Guaranteed one.
            score = 999 if share == 1000 else max(3, share)
    return score if may_lower else max(0, score)


def container_resources(
    pod: Obj,
    container: Obj,
    *,
    memory_capacity_bytes: int,
    may_lower: bool,
    binding: Binding = ANYWHERE,
) -> dict[str, Any]:
    """Fields of LinuxContainerResources. Whoever has processors of its own has no quota."""
    resources = container.get("resources") or {}
    requests, limits = amounts(resources, "requests"), amounts(resources, "limits")
    request_milli = requests.cpu_milli if requests.cpu_milli is not None else limits.cpu_milli
    fields: dict[str, Any] = {
        "cpu_shares": cpu_shares(request_milli),
        "cpu_period": CPU_PERIOD_MICROSECONDS,
        "oom_score_adj": oom_score(
            pod, container, memory_capacity_bytes=memory_capacity_bytes, may_lower=may_lower
        ),
    }
    if (quota := cpu_quota(limits.cpu_milli)) and not binding.is_exclusive:
        fields["cpu_quota"] = quota
    if limits.memory_bytes:
        fields["memory_limit_in_bytes"] = limits.memory_bytes
    if binding.cpus:
        fields["cpuset_cpus"] = binding.cpus
    if binding.memory_nodes:
        fields["cpuset_mems"] = binding.memory_nodes
    return fields


@dataclass(frozen=True, slots=True)
class PodLimits:
    """What the pod's own cgroup is given; None means no limit."""

    cpu_shares: int
    cpu_quota: int | None
    memory_bytes: int | None


def pod_limits(pod: Obj) -> PodLimits:
    """Sums over containers; a limit only if every container has it (``ResourceConfigForPod``)."""
    request = _pod_total(pod, "requests")
    limit = _pod_total(pod, "limits")
    milli = limit.cpu_milli
    return PodLimits(
        cpu_shares=cpu_shares(request.cpu_milli),
        cpu_quota=cpu_quota(milli) if milli else None,
        memory_bytes=limit.memory_bytes or None,
    )


def largest(one: PodLimits, other: PodLimits) -> PodLimits:
    """Limits that satisfy both; no limit is the largest."""
    return PodLimits(
        max(one.cpu_shares, other.cpu_shares),
        _largest(one.cpu_quota, other.cpu_quota),
        _largest(one.memory_bytes, other.memory_bytes),
    )


def _largest(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def pod_requests(pod: Obj) -> dict[str, int]:
    """What the pod takes of each resource: thousandths of cores for cpu, else whole units."""
    sources = [container.get("resources") or {} for _, container in all_containers(pod)]
    sources.append(pod["spec"].get("resources") or {})
    names = {name for source in sources for name in source.get("requests") or {}}
    names |= set(pod["spec"].get("overhead") or {})
    level = (pod["spec"].get("resources") or {}).get("requests") or {}
    found = {}
    for name in sorted(names):
        if name in level:
            found[name] = count(name, level[name]) + _overhead(pod, name)
        else:
            found[name] = _total(pod, "requests", name) or 0
    return found


def count(name: str, text: str | int) -> int:
    """A quantity of a resource in the unit in which it is counted here, rounded up."""
    quantity = parse(text)
    return quantity.milli_value if name == "cpu" else quantity.value


def _pod_total(pod: Obj, which: str) -> Amounts:
    if level := pod["spec"].get("resources"):
        return amounts(level, which)
    return Amounts(_total(pod, which, "cpu"), _total(pod, which, "memory"))


def _total(pod: Obj, which: str, name: str) -> int | None:
    """The larger of all that runs together and of each init container with the sidecars before
    it, in milli-units or bytes; for limits None as soon as one container has none."""
    values = []
    for kind, container in all_containers(pod):
        if kind is not Kind.EPHEMERAL:
            text = ((container.get("resources") or {}).get(which) or {}).get(name)
            values.append(count(name, text) if text is not None else None)
    if which == "limits" and any(value is None for value in values):
        return None
    init, main = containers_of(pod, Kind.INIT), containers_of(pod, Kind.MAIN)
    sidecars, peak = 0, 0
    for container, value in zip(init, values, strict=False):
        amount = value or 0
        peak = max(peak, sidecars + amount)
        if is_sidecar(container):
            sidecars += amount
    together = sidecars + sum(value or 0 for value in values[len(init) : len(init) + len(main)])
    return max(peak, together) + _overhead(pod, name)


def _overhead(pod: Obj, name: str) -> int:
    text = (pod["spec"].get("overhead") or {}).get(name)
    return count(name, text) if text is not None else 0
