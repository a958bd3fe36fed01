"""Reading a pod's spec: containers by kind, restart policies, QoS class."""

import hashlib
from collections.abc import Iterator, Mapping

import orjson

from sagong.api.quantities import parse
from sagong.api.types import Obj
from sagong.node.pods.model import Kind, SeenContainer

# Annotations of static pods and of their mirrors.
CONFIG_SOURCE = "kubernetes.io/config.source"
CONFIG_HASH = "kubernetes.io/config.hash"
CONFIG_SEEN = "kubernetes.io/config.seen"
CONFIG_MIRROR = "kubernetes.io/config.mirror"

# Upstream's floor (minimumGracePeriodInSeconds): a shorter grace than this only risks a kill.
GRACE_SECONDS_MIN = 1
STATUS_LISTS = {
    Kind.INIT: "initContainerStatuses",
    Kind.MAIN: "containerStatuses",
    Kind.EPHEMERAL: "ephemeralContainerStatuses",
}
RESTART_ALL = "RestartAllContainers"
_COMPUTE = ("cpu", "memory")


def containers_of(pod: Obj, kind: Kind) -> list[Obj]:
    return pod["spec"].get(kind.value) or []


def all_containers(pod: Obj) -> Iterator[tuple[Kind, Obj]]:
    """Every container with its kind: init, main, ephemeral, each in the spec's order."""
    for kind in Kind:
        for container in containers_of(pod, kind):
            yield kind, container


def find_container(pod: Obj, name: str) -> tuple[Kind, Obj] | None:
    return next(((k, c) for k, c in all_containers(pod) if c["name"] == name), None)


def previous_statuses(pod: Obj, kind: Kind) -> Mapping[str, Obj]:
    """What the API's status tells of the containers of a kind, by name."""
    listed = (pod.get("status") or {}).get(STATUS_LISTS[kind]) or []
    return {status["name"]: status for status in listed}


def is_sidecar(container: Obj) -> bool:
    """Whether an init container is restartable."""
    return container.get("restartPolicy") == "Always"


def restart_policy(pod: Obj) -> str:
    return str(pod["spec"].get("restartPolicy") or "Always")


def rule_action(container: Obj, exit_code: int) -> str:
    """What the first of its ``restartPolicyRules`` that holds wants done; "" if none holds."""
    for rule in container.get("restartPolicyRules") or []:
        codes = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or [])
        if listed == (codes.get("operator") == "In"):
            return str(rule.get("action") or "")
    return ""


def restarts_after(pod: Obj, container: Obj, kind: Kind, exit_code: int) -> bool:
    """Whether a container that ended with this code is to be started again.

    ``restartPolicyRules`` of the container come first, then its own policy, then the pod's.
    """
    if kind is Kind.EPHEMERAL:
        return False
    if action := rule_action(container, exit_code):
        return action in ("Restart", RESTART_ALL)
    policy = container.get("restartPolicy") or restart_policy(pod)
    if policy == "Always" and kind is Kind.INIT and not is_sidecar(container):
        policy = "OnFailure"
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def spec_hash(container: Obj) -> str:
    """What makes a running container outdated: upstream hashes name and image alone, the only
    fields that may change under it."""
    facts = {"name": container["name"], "image": container.get("image", "")}
    data = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(data).hexdigest()[:8]


def is_outdated(container: Obj, seen: SeenContainer) -> bool:
    return bool(seen.spec_hash) and seen.spec_hash != spec_hash(container)


def grace_seconds(pod: Obj) -> int:
    """What the pod is given to stop: the deletion's grace, else the spec's; at least one."""
    grace = pod["metadata"].get("deletionGracePeriodSeconds")
    if grace is None:
        grace = pod["spec"].get("terminationGracePeriodSeconds")
    return max(GRACE_SECONDS_MIN, int(30 if grace is None else grace))


def is_host_network(pod: Obj) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def is_static(pod: Obj) -> bool:
    """Whether the pod comes from a file of this node, not from the API."""
    source = (pod["metadata"].get("annotations") or {}).get(CONFIG_SOURCE)
    return source not in (None, "api")


def qos_class(pod: Obj) -> str:
    """Guaranteed, Burstable or BestEffort, as ``ComputePodQOS``."""
    pod_level = pod["spec"].get("resources") or {}
    sources = (
        [pod_level]
        if pod_level
        else [
            container.get("resources") or {}
            for kind, container in all_containers(pod)
            if kind is not Kind.EPHEMERAL
        ]
    )
    any_set, guaranteed = False, True
    for resources in sources:
        requests, limits = _compute(resources, "requests"), _compute(resources, "limits")
        any_set = any_set or bool(requests) or bool(limits)
        effective = {**limits, **requests}
        guaranteed = guaranteed and set(limits) == set(_COMPUTE) and effective == limits
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _compute(resources: Obj, which: str) -> Mapping[str, int]:
    """CPU and memory above zero."""
    amounts = {
        name: parse(str(text)).nano
        for name, text in (resources.get(which) or {}).items()
        if name in _COMPUTE
    }
    return {name: amount for name, amount in amounts.items() if amount > 0}


def describe(pod: Obj) -> str:
    """``name_namespace(uid)``, as upstream prints a pod in messages."""
    metadata = pod["metadata"]
    return f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
