"""The Node object as the agent writes it: labels, capacity, conditions. Pure.

Semantics: upstream's ``kubelet_node_status.go`` and ``nodestatus/setters.go``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sagong.api.local_volumes import DIRECTORY_ANNOTATION
from sagong.api.quantities import Quantity, parse
from sagong.api.types import Obj
from sagong.core.clock import format_time
from sagong.node.alignment.settings import problem_of
from sagong.node.alignment.topology import Topology, parse_cpu_list
from sagong.node.config import NodeConfig
from sagong.node.devices.choice import Offer
from sagong.node.machine import Machine, architecture

IMAGES_REPORTED_MAX = 50


@dataclass(frozen=True, slots=True)
class Health:
    """What the Ready condition depends on; "" means well."""

    runtime: str = ""
    network: str = ""
    pleg: str = ""
    shutdown: str = ""
    pressures: Sequence[str] = ()  # conditions of theirs, not of Ready

    @property
    def problems(self) -> Sequence[str]:
        return [text for text in (self.runtime, self.network, self.pleg, self.shutdown) if text]


def initial_node(config: NodeConfig, machine: Machine) -> Obj:
    """The object to be created, without status."""
    spec: Obj = {}
    if config.taints:
        spec["taints"] = [dict(taint) for taint in config.taints]
    if config.unschedulable:
        spec["unschedulable"] = True
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": config.name,
            "labels": dict(node_labels(config, machine)),
            "annotations": dict(node_annotations(config)),
        },
        "spec": spec,
    }


def node_labels(config: NodeConfig, machine: Machine) -> Mapping[str, str]:
    arch = architecture()
    return {
        "beta.kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch,
        "kubernetes.io/hostname": config.name,
        "kubernetes.io/os": "linux",
        **config.labels,
    }


def node_annotations(config: NodeConfig) -> Mapping[str, str]:
    """Where this node keeps the volumes of the default storage class."""
    return {
        DIRECTORY_ANNOTATION: str(config.data_dir / "volumes"),
        # The attach/detach controller attaches; the node only waits for it.
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
    }


def capacity(config: NodeConfig, machine: Machine) -> Mapping[str, str]:
    share = max(1, config.capacity_share)
    return {
        "cpu": str(Quantity.of_milli(machine.cpus * 1000 // share)),
        "ephemeral-storage": f"{machine.disk_bytes // share // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{machine.memory_bytes // share // 1024}Ki",
        "pods": str(config.max_pods),
    }


def allocatable(config: NodeConfig, machine: Machine) -> Mapping[str, str]:
    """Capacity less what is reserved, and less what eviction keeps free."""
    result = {}
    for name, text in capacity(config, machine).items():
        amount = parse(text) - kept_back(config, name)
        if name == "ephemeral-storage":
            amount = Quantity.of(amount.value * 9 // 10)
        result[name] = str(amount)
    return result


def kept_back(config: NodeConfig, name: str) -> Quantity:
    """What of a resource pods never get, the share that eviction keeps free excepted."""
    kept = parse(config.reserved.get(name, "0"))
    threshold = config.eviction_hard.get("memory.available", "0") if name == "memory" else "0"
    return kept if threshold.endswith("%") else kept + parse(threshold)


def problem_with_machine(config: NodeConfig, topology: Topology) -> str:
    """Why the policies of the settings cannot be followed on this machine, or ""."""
    own = config.alignment
    if found := problem_of(own, config.reserved):
        return found
    if own.cpu_policy == "static" and config.capacity_share > 1:
        return "cpuManagerPolicy static needs the machine for one agent alone"
    if not parse_cpu_list(own.reserved_cpus) <= topology.all_cpus:
        return f"reservedSystemCPUs {own.reserved_cpus!r} are not all on this machine"
    if own.topology_policy != "none" and len(topology.numa_nodes) > own.numa_nodes_max:
        return f"unsupported on machines with more than {own.numa_nodes_max} NUMA Nodes"
    if own.memory_policy != "Static":
        return ""
    for name in {n for kinds in topology.memory.values() for n in kinds}:
        given = [parse(limits.get(name, "0")).value for limits in own.reserved_memory.values()]
        kept = kept_back(config, name).value
        if sum(given) != kept:
            return (
                f'the total amount "{sum(given)}" of type "{name}" is not equal to the value '
                f'"{kept}" determined by Node Allocatable feature'
            )
    return ""


def node_status(
    config: NodeConfig,
    machine: Machine,
    health: Health,
    *,
    old: Obj,
    images: Sequence[Obj],
    offers: Mapping[str, Offer],
    now: float,
) -> Obj:
    """The complete status; ``old`` is the one before, whose foreign conditions are kept, and
    whose extended resources that no device plugin of ours offers (somebody else's word)."""
    previous = {c["type"]: c for c in old.get("conditions") or []}
    own = [
        _condition(previous, now, **facts)
        for facts in (
            _pressure("Memory", health.pressures, "kubelet has sufficient memory available"),
            _pressure("Disk", health.pressures, "kubelet has no disk pressure"),
            _pressure("PID", health.pressures, "kubelet has sufficient PID available"),
            _ready(health),
        )
    ]
    types = {c["type"] for c in own}
    foreign = [c for type_, c in previous.items() if type_ not in types]
    status: Obj = {
        "addresses": [{"type": a.type, "address": a.address} for a in config.addresses],
        "allocatable": {
            **_foreign(old, offers),
            **{name: str(offer.allocatable) for name, offer in offers.items()},
            **allocatable(config, machine),
        },
        "capacity": {
            **_foreign(old, offers),
            **{name: str(offer.capacity) for name, offer in offers.items()},
            **capacity(config, machine),
        },
        "conditions": foreign + own,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.kubelet_port}},
        "images": list(images)[:IMAGES_REPORTED_MAX],
        "nodeInfo": machine.info,
        "features": {"supplementalGroupsPolicy": False},
        "runtimeHandlers": [{"features": {}, "name": ""}],
    }
    kept = ("volumesAttached", "phase", "config")
    return {**{k: old[k] for k in kept if k in old}, **status}


def _foreign(old: Obj, offers: Mapping[str, Offer]) -> Mapping[str, str]:
    """Extended resources that were written into the capacity by others; all are allocatable."""
    told = old.get("capacity") or {}
    return {name: text for name, text in told.items() if "/" in name and name not in offers}


def with_volumes_in_use(status: Obj, names: Sequence[str]) -> Obj:
    """What must not be detached from the node yet."""
    rest = {k: v for k, v in status.items() if k != "volumesInUse"}
    return {**rest, "volumesInUse": list(names)} if names else rest


def _pressure(what: str, pressures: Sequence[str], well: str) -> dict[str, str]:
    reasons = {
        "Memory": ("KubeletHasInsufficientMemory", "KubeletHasSufficientMemory"),
        "Disk": ("KubeletHasDiskPressure", "KubeletHasNoDiskPressure"),
        "PID": ("KubeletHasInsufficientPID", "KubeletHasSufficientPID"),
    }
    ill = {
        "Memory": "kubelet has insufficient memory available",
        "Disk": "kubelet has disk pressure",
        "PID": "kubelet has insufficient PID available",
    }
    short = f"{what}Pressure" in pressures
    return {
        "type_": f"{what}Pressure",
        "status": "True" if short else "False",
        "reason": reasons[what][0 if short else 1],
        "message": ill[what] if short else well,
    }


def _ready(health: Health) -> dict[str, str]:
    if not health.problems:
        message = "kubelet is posting ready status"
        return {"type_": "Ready", "status": "True", "reason": "KubeletReady", "message": message}
    problems = list(health.problems)
    message = problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]"
    return {"type_": "Ready", "status": "False", "reason": "KubeletNotReady", "message": message}


def _condition(
    previous: Mapping[str, Obj], now: float, *, type_: str, status: str, reason: str, message: str
) -> Obj:
    old = previous.get(type_)
    stamp = format_time(now)
    changed = old is None or old.get("status") != status
    return {
        "type": type_,
        "status": status,
        "lastHeartbeatTime": stamp,
        "lastTransitionTime": stamp if changed or old is None else old["lastTransitionTime"],
        "reason": reason,
        "message": message,
    }


def differs(new: Obj, old: Obj) -> bool:
    """Whether anything but heartbeat times changed: only then is a status written early."""

    def essence(status: Obj) -> Obj:
        conditions = [
            {k: v for k, v in c.items() if k != "lastHeartbeatTime"}
            for c in status.get("conditions") or []
        ]
        return {**status, "conditions": conditions}

    return essence(new) != essence({k: v for k, v in old.items() if v not in (None, [], {})})
