"""Which pod goes first, and what is said of it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api.quantities import Quantity, parse
from sagong.api.types import Obj
from sagong.node.eviction.thresholds import RESOURCES, Reading, Signal, Threshold
from sagong.node.pods.resources import count, pod_requests

_REQUESTED = {
    Signal.MEMORY: "memory",
    Signal.NODE_DISK: "ephemeral-storage",
    Signal.IMAGE_DISK: "ephemeral-storage",
}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a pod uses: bytes, inodes, processes; by container where that is known."""

    memory: int = 0
    disk: int = 0
    inodes: int = 0
    processes: int = 0
    containers: Mapping[str, "Usage"] = field(default_factory=dict)
    volumes: Mapping[str, int] = field(default_factory=dict)  # emptyDir -> bytes

    def of(self, signal: Signal) -> int:
        if signal is Signal.MEMORY:
            return self.memory
        if signal is Signal.PIDS:
            return self.processes
        return self.inodes if signal in (Signal.NODE_INODES, Signal.IMAGE_INODES) else self.disk


@dataclass(frozen=True, slots=True)
class Candidate:
    pod: Obj
    usage: Usage


def rank(candidates: Sequence[Candidate], signal: Signal) -> Sequence[Candidate]:
    """The first to go first: those above their requests, then by priority, then by how much."""

    def order(candidate: Candidate) -> tuple[bool, int, int]:
        used, asked = candidate.usage.of(signal), _requested(candidate.pod, signal)
        priority = int(candidate.pod["spec"].get("priority") or 0)
        exceeds = signal in _REQUESTED and used > asked
        return (not exceeds, priority, asked - used)

    return sorted(candidates, key=order)


def _requested(pod: Obj, signal: Signal) -> int:
    name = _REQUESTED.get(signal)
    return pod_requests(pod).get(name, 0) if name else 0


def message(candidate: Candidate, threshold: Threshold, reading: Reading) -> str:
    """What the evicted pod's status says."""
    signal, resource = threshold.signal, RESOURCES[threshold.signal]
    limit = _quantity(threshold.value(reading.capacity), signal)
    text = (
        f"The node was low on resource: {resource}. Threshold quantity: {limit}, "
        f"available: {_quantity(reading.available, signal)}. "
    )
    if signal not in _REQUESTED:
        return text
    name = _REQUESTED[signal]
    for container in candidate.pod["spec"].get("containers") or ():
        usage = candidate.usage.containers.get(container["name"])
        requests = (container.get("resources") or {}).get("requests") or {}
        asked = count(name, requests[name]) if name in requests else 0
        if usage is not None and usage.of(signal) > asked:
            text += (
                f"Container {container['name']} was using {_quantity(usage.of(signal), signal)}, "
                f"request is {requests.get(name, '0')}, has larger consumption of {resource}. "
            )
    return text


def _quantity(amount: int, signal: Signal) -> str:
    """Bytes in whole kibibytes, as upstream's figures are; pieces as they are."""
    if signal in _REQUESTED and amount >= 1024:
        return f"{amount // 1024}Ki"
    return str(Quantity.of(amount))


def has_storage_limits(pod: Obj) -> bool:
    """Whether ``excess`` may ever find anything."""
    volumes = [volume.get("emptyDir") or {} for volume in pod["spec"].get("volumes") or ()]
    return any(source.get("sizeLimit") for source in volumes) or any(
        _storage_limit(container) is not None for container in pod["spec"].get("containers") or ()
    )


def excess(candidate: Candidate) -> str:
    """Why a pod must go for what it stores, whatever room the node has; "" if it need not.

    First emptyDir volumes' size limits, then the pod's, then the containers' ephemeral storage.
    """
    pod, usage = candidate.pod, candidate.usage
    for volume in pod["spec"].get("volumes") or ():
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit and usage.volumes.get(volume["name"], 0) > parse(limit).value:
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
    limits = [_storage_limit(c) for c in pod["spec"].get("containers") or ()]
    given = [limit for limit in limits if limit is not None]
    if given and len(given) == len(limits):
        total = sum(parse(limit).value for limit in given)
        if usage.disk > total:
            return (
                "Pod ephemeral local storage usage exceeds the total limit of containers "
                f"{given[0] if len(given) == 1 else Quantity.of(total)}. "
            )
    for container, limit in zip(pod["spec"].get("containers") or (), limits, strict=True):
        own = usage.containers.get(container["name"])
        if limit is not None and own is not None and own.disk > parse(limit).value:
            name = container["name"]
            return f'Container {name} exceeded its local ephemeral storage limit "{limit}". '
    return ""


def _storage_limit(container: Obj) -> str | None:
    limits = (container.get("resources") or {}).get("limits") or {}
    return limits.get("ephemeral-storage")
