"""Whether a node takes a pod that was bound to it, as upstream's admission handlers decide. Pure.

The scheduler has looked at most of it already; a pod whose node was chosen otherwise, or whose node
has changed since, is refused here: it fails, and its owner may try another node.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api.placement import is_selected, is_tolerated
from sagong.api.types import Obj
from sagong.node.pods.resources import pod_requests
from sagong.node.pods.spec import is_static, qos_class

SAFE_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    )
)
_IPC_PREFIXES = ("kernel.shm", "kernel.msg", "fs.mqueue.")
_IPC_NAMES = ("kernel.sem",)
CRITICAL_PRIORITY = 2_000_000_000  # scheduling.SystemCriticalPriority
MEMORY_PRESSURE_TAINT = {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class Refused:
    """The reason and message of the failed pod's status and of its event."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Features:
    """What not every host or runtime can do."""

    strict_groups: bool = False  # supplementalGroupsPolicy
    app_armor: bool = False


@dataclass(frozen=True, slots=True)
class NodeState:
    """What the decision depends on beside the pod."""

    node: Obj
    allocatable: Mapping[str, int]  # units of ``pod_requests``; "pods" counts pods
    others: Sequence[Obj]  # the pods that it has taken and that have not ended
    pressures: Sequence[str] = ()  # MemoryPressure, DiskPressure, PIDPressure
    is_shutting_down: bool = False
    unsafe_sysctls: Sequence[str] = field(default=())  # allowed; may end in "*"
    features: Features = Features()


Check = Callable[[Obj, NodeState], Refused | None]


def refusal(pod: Obj, node: NodeState) -> Refused | None:
    """Why the node does not take the pod, in upstream's order; None if it does."""
    return _first(pod, node, (_pressure, _sysctls, _resources, *_OTHERS))


def refusal_besides_resources(pod: Obj, node: NodeState) -> Refused | None:
    """Why the node would not take the pod even if there were room."""
    return _first(pod, node, (_pressure, _sysctls, *_OTHERS))


def _first(pod: Obj, node: NodeState, checks: Iterable[Check]) -> Refused | None:
    for check in checks:
        if (found := check(pod, node)) is not None:
            return found
    return None


def is_critical(pod: Obj) -> bool:
    """Static pods and those of the system's highest priorities."""
    return is_static(pod) or int(pod["spec"].get("priority") or 0) >= CRITICAL_PRIORITY


def _pressure(pod: Obj, node: NodeState) -> Refused | None:
    """The eviction manager's: a node under pressure takes what suits the pressure only."""
    if not node.pressures or is_critical(pod):
        return None
    if tuple(node.pressures) == ("MemoryPressure",):
        tolerated = is_tolerated(MEMORY_PRESSURE_TAINT, pod["spec"].get("tolerations") or ())
        if qos_class(pod) != "BestEffort" or tolerated:
            return None
    return Refused("Evicted", f"The node had condition: [{' '.join(node.pressures)}]. ")


def _sysctls(pod: Obj, node: NodeState) -> Refused | None:
    context = pod["spec"].get("securityContext") or {}
    for entry in context.get("sysctls") or ():
        name = entry["name"].replace("/", ".")
        problem = _sysctl_problem(pod, name, node.unsafe_sysctls)
        if problem:
            return Refused("SysctlForbidden", f'forbidden sysctl: "{name}" {problem}')
    return None


def _sysctl_problem(pod: Obj, name: str, unsafe: Sequence[str]) -> str:
    spec = pod["spec"]
    if spec.get("hostNetwork") and name.startswith("net."):
        return "not allowed with host net enabled"
    is_ipc = name.startswith(_IPC_PREFIXES) or name in _IPC_NAMES
    if spec.get("hostIPC") and is_ipc:
        return "not allowed with host ipc enabled"
    if name in SAFE_SYSCTLS:
        return ""
    for pattern in unsafe:
        if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])):
            return ""
    return "not allowlisted"


def _resources(pod: Obj, node: NodeState) -> Refused | None:
    """``Out of`` something, which the scheduler could not know."""
    lacking = shortage(pod, node)
    if not lacking:
        return None
    name = next(iter(lacking))
    used = {"pods": len(node.others), **used_by(node.others)}
    asked = {"pods": 1, **pod_requests(pod)}
    return _out_of(name, asked[name], used.get(name, 0), node.allocatable.get(name, 0))


def shortage(pod: Obj, node: NodeState) -> Mapping[str, int]:
    """How much more of each resource there would have to be."""
    used = {"pods": len(node.others), **used_by(node.others)}
    asked = {"pods": 1, **pod_requests(pod)}
    found = {
        name: amount + used.get(name, 0) - node.allocatable.get(name, 0)
        for name, amount in asked.items()
        if amount
    }
    return {name: amount for name, amount in found.items() if amount > 0}


def used_by(pods: Sequence[Obj]) -> dict[str, int]:
    used: dict[str, int] = {}
    for pod in pods:
        for name, amount in pod_requests(pod).items():
            used[name] = used.get(name, 0) + amount
    return used


def _out_of(name: str, requested: int, used: int, capacity: int) -> Refused:
    text = (
        f"Node didn't have enough resource: {name}, requested: {requested}, "
        f"used: {used}, capacity: {capacity}"
    )
    return Refused(f"OutOf{name}", text)


def _constraints(pod: Obj, node: NodeState) -> Refused | None:
    if not is_selected(pod["spec"], node.node):
        text = "node(s) didn't match Pod's node affinity/selector"
        return Refused("NodeAffinity", f"Predicate NodeAffinity failed: {text}")
    taken = {port for other in node.others for port in _host_ports(other)}
    if any(_clashes(port, taken) for port in _host_ports(pod)):
        text = "node(s) didn't have free ports for the requested pod ports"
        return Refused("NodePorts", f"Predicate NodePorts failed: {text}")
    tolerations = pod["spec"].get("tolerations") or ()
    taints = (node.node.get("spec") or {}).get("taints") or ()
    evicting = [taint for taint in taints if taint.get("effect") == "NoExecute"]
    if not is_static(pod) and any(not is_tolerated(taint, tolerations) for taint in evicting):
        text = "node(s) had taints that the pod didn't tolerate"
        return Refused("TaintToleration", f"Predicate TaintToleration failed: {text}")
    system = (pod["spec"].get("os") or {}).get("name")
    if system and system != "linux":
        text = "Failed to admit pod as the OS field doesn't match node OS"
        return Refused("PodOSNotSupported", text)
    return None


def _host_ports(pod: Obj) -> list[tuple[str, int, str]]:
    """(protocol, port, address) of each host port; sidecars' too."""
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return [
        (port.get("protocol") or "TCP", port["hostPort"], port.get("hostIP") or "0.0.0.0")
        for container in (*(spec.get("containers") or ()), *sidecars)
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]


def _clashes(port: tuple[str, int, str], taken: set[tuple[str, int, str]]) -> bool:
    protocol, number, address = port
    return any(
        (protocol, number) == (other[0], other[1])
        and (address == other[2] or "0.0.0.0" in (address, other[2]))
        for other in taken
    )


def _features(pod: Obj, node: NodeState) -> Refused | None:
    """What the host or its runtime lacks must not be left out silently."""
    of_pod = pod["spec"].get("securityContext") or {}
    if of_pod.get("supplementalGroupsPolicy") == "Strict" and not node.features.strict_groups:
        text = "SupplementalGroupsPolicy=Strict is not supported in this node"
        return Refused("SupplementalGroupsPolicyNotSupported", text)
    if not node.features.app_armor and any(_wants_app_armor(c) for c in _contexts(pod)):
        text = "Cannot enforce AppArmor: AppArmor is not enabled on the host"
        return Refused("AppArmor", text)
    return None


def _contexts(pod: Obj) -> list[Obj]:
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return [x.get("securityContext") or {} for x in (spec, *containers)]


def _wants_app_armor(context: Obj) -> bool:
    profile = context.get("appArmorProfile")
    return profile is not None and profile.get("type") != "Unconfined"


def _shutdown(pod: Obj, node: NodeState) -> Refused | None:
    if node.is_shutting_down:
        return Refused("NodeShutdown", "Pod was rejected as the node is shutting down.")
    return None


_OTHERS: tuple[Check, ...] = (_constraints, _features, _shutdown)
