"""What of exclusive processors and memory a pod asks for. Pure."""

from collections.abc import Callable, Iterator, Mapping

from sagong.api.quantities import parse
from sagong.api.types import Obj
from sagong.node.pods.model import Kind
from sagong.node.pods.spec import containers_of, is_sidecar, qos_class


def lasting_containers(pod: Obj) -> Iterator[tuple[Kind, Obj]]:
    """Those that devices, processors and memory are given to: ephemeral ones get none."""
    for kind in (Kind.INIT, Kind.MAIN):
        for container in containers_of(pod, kind):
            yield kind, container


def exclusive_cpus(pod: Obj, container: Obj) -> int:
    """Whole processors for a container of a Guaranteed pod; with resources of the pod as such
    nobody has processors of their own."""
    if pod["spec"].get("resources") or qos_class(pod) != "Guaranteed":
        return 0
    milli = parse(_requests(container).get("cpu", "0")).milli_value
    return milli // 1000 if milli % 1000 == 0 else 0


def pinned_memory(pod: Obj, container: Obj) -> Mapping[str, int]:
    """Bytes of memory and of huge pages for a container of a Guaranteed pod."""
    if pod["spec"].get("resources") or qos_class(pod) != "Guaranteed":
        return {}
    return {
        name: parse(text).value
        for name, text in _requests(container).items()
        if name == "memory" or name.startswith("hugepages-")
    }


def _requests(container: Obj) -> Mapping[str, str]:
    resources = container.get("resources") or {}
    return {**(resources.get("limits") or {}), **(resources.get("requests") or {})}


def at_once(pod: Obj, amount: Callable[[Obj], int]) -> int:
    """The most that is used at one time: by all that lasts, or by an init container beside the
    sidecars before it."""
    sidecars = peak = 0
    for container in containers_of(pod, Kind.INIT):
        if is_sidecar(container):
            sidecars += amount(container)
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + amount(container))
    return max(peak, sidecars + sum(amount(c) for c in containers_of(pod, Kind.MAIN)))
