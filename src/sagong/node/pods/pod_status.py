"""A pod's status as the node reports it: phase, conditions, addresses, container statuses.

Semantics: upstream's ``generateAPIPodStatus``, ``getPhase`` and ``status/generate.go``. Conditions
of other owners (PodScheduled, readiness gates, DisruptionTarget) are kept as they are.
"""

from collections.abc import Sequence

from sagong.api.types import Obj
from sagong.core.clock import format_time
from sagong.node.pods import restart_all
from sagong.node.pods.container_status import container_statuses, level_resources
from sagong.node.pods.model import Kind, Situation, Stage
from sagong.node.pods.resize import is_in_progress
from sagong.node.pods.spec import (
    containers_of,
    is_host_network,
    is_sidecar,
    qos_class,
    restart_policy,
)

_RESIZE_CONDITIONS = ("PodResizePending", "PodResizeInProgress")
OWNED_CONDITIONS = (
    "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", restart_all.CONDITION,
    *_RESIZE_CONDITIONS,
)  # fmt: skip
TERMINAL_PHASES = ("Succeeded", "Failed")


def pod_status(situation: Situation) -> Obj:
    """The complete status. The phase never leaves Succeeded or Failed."""
    pod = situation.pod
    old = pod.get("status") or {}
    if situation.memory.ending is not None and situation.memory.ending.is_refusal:
        return _refused(situation, old)
    init = container_statuses(situation, Kind.INIT)
    main = container_statuses(situation, Kind.MAIN)
    ephemeral = container_statuses(situation, Kind.EPHEMERAL)
    phase = _phase(situation, init, main, str(old.get("phase") or ""))
    status: Obj = {"phase": phase}
    if generation := pod["metadata"].get("generation"):
        status["observedGeneration"] = generation
    _add_ending(situation, old, phase, status)
    status["conditions"] = _conditions(situation, phase, init, main)
    _add_addresses(situation, old, status)
    status["startTime"] = old.get("startTime") or format_time(situation.now)
    if init:
        status["initContainerStatuses"] = init
    if main:
        status["containerStatuses"] = main
    if ephemeral:
        status["ephemeralContainerStatuses"] = ephemeral
    status["qosClass"] = old.get("qosClass") or qos_class(pod)
    status |= level_resources(situation)
    kept = ("nominatedNodeName", "resize", "resourceClaimStatuses", "extendedResourceClaimStatus")
    return status | {name: old[name] for name in kept if name in old}


def _refused(situation: Situation, old: Obj) -> Obj:
    """The status of a pod that this node has not taken: nothing of it was ever here."""
    status: Obj = {"phase": "Failed"}
    if generation := situation.pod["metadata"].get("generation"):
        status["observedGeneration"] = generation
    _add_ending(situation, old, "Failed", status)
    status["conditions"] = old.get("conditions") or []
    status["startTime"] = old.get("startTime") or format_time(situation.now)
    status["qosClass"] = old.get("qosClass") or qos_class(situation.pod)
    return status


def _add_ending(situation: Situation, old: Obj, phase: str, status: Obj) -> None:
    ending = situation.memory.ending
    if ending is not None:
        status["reason"], status["message"] = ending.reason, ending.message
    elif phase in TERMINAL_PHASES or situation.memory.stage is not Stage.RUNNING:
        status |= {name: old[name] for name in ("reason", "message") if old.get(name)}


def _phase(situation: Situation, init: Sequence[Obj], main: Sequence[Obj], old: str) -> str:
    if old in TERMINAL_PHASES:
        return old
    ended = situation.memory.stage in (Stage.TERMINATED, Stage.CLEAN)
    if situation.memory.ending is not None:
        return "Failed" if ended else _live_phase(situation, init, main)
    if not ended:
        return _live_phase(situation, init, main)
    plain = [s for c, s in _init_pairs(situation, init) if not is_sidecar(c)]
    return "Succeeded" if all(_succeeded(s) for s in (*plain, *main)) else "Failed"


def _init_pairs(situation: Situation, init: Sequence[Obj]) -> list[tuple[Obj, Obj]]:
    """Init containers with their statuses; a refused pod has none."""
    told = {status["name"]: status for status in init}
    specs = containers_of(situation.pod, Kind.INIT)
    return [(c, told[c["name"]]) for c in specs if c["name"] in told]


def _succeeded(status: Obj) -> bool:
    terminated = status["state"].get("terminated")
    return terminated is not None and terminated["exitCode"] == 0


def _live_phase(situation: Situation, init: Sequence[Obj], main: Sequence[Obj]) -> str:
    """The phase while the pod may still run. Succeeded and Failed wait until the pod's end has
    been carried out, so that a terminal pod never has a running container."""
    any_started = any("waiting" not in s["state"] or s["lastState"] for s in main)
    for container, status in _init_pairs(situation, init):
        done = status["started"] if is_sidecar(container) else _succeeded(status)
        if not done and not any_started:
            return "Pending"
    if any("waiting" in s["state"] and not s["lastState"] for s in main):
        return "Pending"
    if restart_policy(situation.pod) == "Always":
        return "Running"
    return "Running" if any_started else "Pending"


def _conditions(
    situation: Situation, phase: str, init: Sequence[Obj], main: Sequence[Obj]
) -> list[Obj]:
    old = {c["type"]: c for c in (situation.pod.get("status") or {}).get("conditions") or []}
    containers = _containers_ready(situation, phase, init, main)
    wanted = {
        "PodReadyToStartContainers": _ready_to_start(situation),
        "Initialized": _initialized(situation, phase, init, main),
        "Ready": _ready(situation, containers, old),
        "ContainersReady": containers,
        **_resize(situation),
        **_disruption(situation),
    }
    restarting = restart_all.condition(situation, phase, old.get(restart_all.CONDITION))
    if restarting is not None:
        wanted[restart_all.CONDITION] = restarting
    made = [_stamped(situation, type_, facts, old.get(type_)) for type_, facts in wanted.items()]
    return made + [c for type_, c in old.items() if type_ not in (*OWNED_CONDITIONS, *wanted)]


def _disruption(situation: Situation) -> dict[str, Obj]:
    ending = situation.memory.ending
    if ending is None or not ending.is_disruption:
        return {}
    text = ending.disruption or ending.message
    facts = {"status": "True", "reason": "TerminationByKubelet", "message": text}
    return {"DisruptionTarget": facts}


def _resize(situation: Situation) -> dict[str, Obj]:
    """What an in-place resize waits for, and whether one is under way."""
    allocation = situation.memory.allocation
    if situation.memory.stage is not Stage.RUNNING:
        return {}
    found = {}
    if (pending := allocation.pending) is not None:
        facts = {"status": "True", "reason": pending.reason, "message": pending.message}
        found["PodResizePending"] = facts
    if is_in_progress(allocation):
        reason = "Error" if allocation.error else ""
        facts = {"status": "True", "reason": reason, "message": allocation.error}
        found["PodResizeInProgress"] = facts
    return found


def _stamped(situation: Situation, type_: str, facts: Obj, old: Obj | None) -> Obj:
    """A condition with its times: the transition is when the status last changed."""
    changed = old is None or old.get("status") != facts["status"]
    now = format_time(situation.now)
    condition: Obj = {"type": type_}
    if generation := situation.pod["metadata"].get("generation"):
        condition["observedGeneration"] = generation
    condition |= {"status": facts["status"], "lastProbeTime": None}
    condition["lastTransitionTime"] = now if changed or old is None else old["lastTransitionTime"]
    return condition | {k: v for k, v in facts.items() if k in ("reason", "message") and v}


def _true() -> Obj:
    return {"status": "True"}


def _false(reason: str = "", message: str = "") -> Obj:
    return {"status": "False", "reason": reason, "message": message}


def _ready_to_start(situation: Situation) -> Obj:
    sandbox = situation.seen.sandbox
    if sandbox is None or not sandbox.ready:
        return _false()
    return _true() if sandbox.ips or is_host_network(situation.pod) else _false()


def _names(names: Sequence[str]) -> str:
    return "[" + " ".join(names) + "]"


def _containers_ready(
    situation: Situation, phase: str, init: Sequence[Obj], main: Sequence[Obj]
) -> Obj:
    if phase == "Succeeded":
        return _false("PodCompleted")
    if phase == "Failed":
        return _false("PodFailed")
    sidecars = [
        status for container, status in _init_pairs(situation, init) if is_sidecar(container)
    ]
    unready = [s["name"] for s in (*sidecars, *main) if not s["ready"]]
    if unready:
        message = f"containers with unready status: {_names(unready)}"
        return _false("ContainersNotReady", message)
    return _true()


def _ready(situation: Situation, containers: Obj, old: dict[str, Obj]) -> Obj:
    if containers["status"] != "True":
        return containers
    messages = []
    for gate in situation.pod["spec"].get("readinessGates") or []:
        type_ = gate["conditionType"]
        condition = old.get(type_)
        if condition is None:
            messages.append(
                f'corresponding condition of pod readiness gate "{type_}" does not exist.'
            )
        elif condition.get("status") != "True":
            messages.append(
                f'the status of pod readiness gate "{type_}" is not "True", '
                f"but {condition.get('status')}"
            )
    return _false("ReadinessGatesNotReady", ", ".join(messages)) if messages else _true()


def _initialized(situation: Situation, phase: str, init: Sequence[Obj], main: Sequence[Obj]) -> Obj:
    if phase == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"}
    if any(s["started"] or s["lastState"] or "terminated" in s["state"] for s in main):
        return _true()
    incomplete = [
        status["name"]
        for container, status in _init_pairs(situation, init)
        if not (status["started"] if is_sidecar(container) else status["ready"])
    ]
    if incomplete:
        message = f"containers with incomplete status: {_names(incomplete)}"
        return _false("ContainersNotInitialized", message)
    return _true()


def _add_addresses(situation: Situation, old: Obj, status: Obj) -> None:
    if situation.host_ips:
        status["hostIP"] = situation.host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in situation.host_ips]
    sandbox = situation.seen.sandbox
    ips: Sequence[str] = ()
    if is_host_network(situation.pod):
        ips = situation.host_ips if sandbox is not None else ()
    elif sandbox is not None:
        ips = sandbox.ips
    if not ips and situation.memory.stage is not Stage.RUNNING:
        ips = [entry["ip"] for entry in old.get("podIPs") or []]
    if ips:
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]
