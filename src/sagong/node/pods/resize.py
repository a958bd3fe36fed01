"""In-place resize: what of a changed spec the node takes up, and what then is to be done. Pure.

Semantics: upstream's allocation manager. cpu and memory of main containers and sidecars may change
under them. A resize that never fits the node is Infeasible, one that does not fit now is Deferred;
both leave the pod as it is. What the API's status said last is the checkpoint: a restarted agent
goes on from there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sagong.api.quantities import parse
from sagong.api.types import Obj
from sagong.node.pods.model import Allocation, Kind, Pending, Room, SeenPod
from sagong.node.pods.resources import pod_requests
from sagong.node.pods.spec import containers_of, is_sidecar, is_static, previous_statuses

RESIZABLE = ("cpu", "memory")
LEVEL = ""  # stands for the pod as such among the names of an allocation
# What a container has of the pod's limits, having none of its own: a change of them concerns it.
INHERITED = "inherited"


def resizable(pod: Obj) -> Iterator[tuple[Kind, Obj]]:
    """Containers whose resources may change while they run."""
    for container in containers_of(pod, Kind.INIT):
        if is_sidecar(container):
            yield Kind.INIT, container
    for container in containers_of(pod, Kind.MAIN):
        yield Kind.MAIN, container


def initial(pod: Obj) -> Allocation:
    """Where to go on from: what the last status tells of each container, else the spec."""
    allocated = {}
    for kind, container in resizable(pod):
        told = previous_statuses(pod, kind).get(container["name"], {})
        wanted = of(container)
        if "containerID" not in told or "resources" not in told:
            allocated[container["name"]] = wanted
            continue
        allocated[container["name"]] = of({"resources": _given(told)})
    status = pod.get("status") or {}
    if level := pod["spec"].get("resources"):
        allocated[LEVEL] = of({"resources": _given(status) if "resources" in status else level})
        for _, container in resizable(pod):
            name = container["name"]
            allocated[name] = _with_inherited(allocated[name], allocated[LEVEL])
    return Allocation(allocated, allocated)


def _given(told: Obj) -> Obj:
    """What a status tells to have been agreed to."""
    limits = (told["resources"] or {}).get("limits") or {}
    return {"requests": told.get("allocatedResources") or {}, "limits": limits}


def _with_inherited(own: Obj, level: Obj) -> Obj:
    limits = own.get("limits") or {}
    rest = {k: v for k, v in (level.get("limits") or {}).items() if k not in limits}
    return {**own, INHERITED: rest} if rest else own


def of(container: Obj) -> Obj:
    """cpu and memory of a container's resources, in one form."""
    resources = container.get("resources") or {}
    listed = {
        which: {k: v for k, v in (resources.get(which) or {}).items() if k in RESIZABLE}
        for which in ("requests", "limits")
    }
    return {which: found for which, found in listed.items() if found}


def is_same(one: Obj, other: Obj) -> bool:
    """Whether two resources have the same quantities, however they are written."""
    return _amounts(one) == _amounts(other)


def _amounts(resources: Obj) -> dict[tuple[str, str], int]:
    return {
        (which, name): parse(text).nano
        for which, listed in resources.items()
        for name, text in listed.items()
    }


def wanted(pod: Obj) -> dict[str, Obj]:
    found = {container["name"]: of(container) for _, container in resizable(pod)}
    if pod["spec"].get("resources"):
        level = of(pod["spec"])
        return {LEVEL: level, **{n: _with_inherited(own, level) for n, own in found.items()}}
    return found


def is_resized(pod: Obj, allocation: Allocation) -> bool:
    """Whether the spec asks for something other than what was agreed to."""
    return _differ(wanted(pod), allocation.allocated)


def is_in_progress(allocation: Allocation) -> bool:
    return _differ(allocation.allocated, allocation.actuated)


def _differ(one: Mapping[str, Obj], other: Mapping[str, Obj]) -> bool:
    return one.keys() != other.keys() or any(not is_same(one[n], other[n]) for n in one)


def as_allocated(pod: Obj, allocation: Allocation) -> Obj:
    """The pod with the resources that the node has agreed to: what is started and limited."""
    if not is_resized(pod, allocation):
        return pod
    spec = {**pod["spec"]}
    for kind in (Kind.INIT, Kind.MAIN):
        if kind.value in spec:
            spec[kind.value] = [_allocated(c, allocation) for c in spec[kind.value]]
    if spec.get("resources"):
        spec = _allocated({**spec, "name": LEVEL}, allocation)
        del spec["name"]
    return {**pod, "spec": spec}


def as_actuated(pod: Obj, allocation: Allocation) -> Obj:
    """The pod with the resources that its running containers have."""
    return as_allocated(pod, replace(allocation, allocated=allocation.actuated))


def _allocated(container: Obj, allocation: Allocation) -> Obj:
    given = allocation.allocated.get(container["name"])
    if given is None:
        return container
    old = container.get("resources") or {}
    resources = {**old}
    for which in ("requests", "limits"):
        kept = {k: v for k, v in (old.get(which) or {}).items() if k not in RESIZABLE}
        resources[which] = {**kept, **given.get(which, {})}
    return {**container, "resources": {k: v for k, v in resources.items() if v}}


def agree(pod: Obj, allocation: Allocation, room: Room) -> Allocation:
    """The allocation after the node has looked at what the spec asks for."""
    if not is_resized(pod, allocation):
        return replace(allocation, pending=None)
    pending = _refusal(pod, allocation, room)
    if pending is not None:
        return replace(allocation, pending=pending)
    return replace(allocation, allocated=wanted(pod), pending=None, error="")


def _refusal(pod: Obj, allocation: Allocation, room: Room) -> Pending | None:
    if is_static(pod):
        return Pending("Infeasible", "In-place resize of static-pods is not supported")
    asking = replace(allocation, allocated=wanted(pod), actuated=allocation.allocated)
    changed = {r for name in asking.allocated for r in changed_resources(asking, name)}
    for resource, text in room.infeasible.items():
        if resource in changed:
            return Pending("Infeasible", text)
    requests = pod_requests(pod)
    for name in RESIZABLE:
        asked, has = requests.get(name, 0), room.allocatable.get(name, 0)
        if asked > has:
            text = f"Node didn't have enough capacity: {name}, requested: {asked}, capacity: {has}"
            return Pending("Infeasible", text)
    for name in RESIZABLE:
        asked, used = requests.get(name, 0), room.used.get(name, 0)
        if asked and asked + used > room.allocatable.get(name, 0):
            text = (
                f"Node didn't have enough resource: {name}, requested: {asked}, "
                f"used: {used}, capacity: {room.allocatable.get(name, 0)}"
            )
            return Pending("Deferred", text)
    return None


def changed_resources(allocation: Allocation, name: str) -> set[str]:
    """Which of cpu and memory a running container has other than agreed to."""
    new = _amounts(allocation.allocated.get(name, {}))
    old = _amounts(allocation.actuated.get(name, {}))
    keys = {key for key in new.keys() | old.keys() if new.get(key) != old.get(key)}
    return {resource for _, resource in keys}


def needs_restart(container: Obj, allocation: Allocation) -> bool:
    """Whether a changed resource's ``resizePolicy`` wants the container to begin anew."""
    changed = changed_resources(allocation, container["name"])
    return any(
        policy["resourceName"] in changed and policy["restartPolicy"] == "RestartContainer"
        for policy in container.get("resizePolicy") or []
    )


def to_update(pod: Obj, allocation: Allocation, seen: SeenPod) -> list[str]:
    """Running containers whose limits are to be changed under them, and the pod itself."""
    running = {container.name for container in seen.running}
    level = [LEVEL] if running and changed_resources(allocation, LEVEL) else []
    return level + [
        container["name"]
        for _, container in resizable(pod)
        if container["name"] in running
        and changed_resources(allocation, container["name"])
        and not needs_restart(container, allocation)
    ]


def settled(allocation: Allocation, seen: SeenPod) -> Allocation:
    """What does not run has whatever was agreed to: it will be started with it."""
    running = {container.name for container in seen.running}
    if running:
        running.add(LEVEL)
    actuated = {
        name: allocation.actuated.get(name, agreed) if name in running else agreed
        for name, agreed in allocation.allocated.items()
    }
    restarting = allocation.restarting - running
    if (actuated, restarting) == (allocation.actuated, allocation.restarting):
        return allocation
    return replace(allocation, actuated=actuated, restarting=restarting)


def actuate(allocation: Allocation, name: str) -> Allocation:
    """A container has been given what was agreed to."""
    agreed = allocation.allocated.get(name)
    if agreed is None:
        return allocation
    return replace(allocation, actuated={**allocation.actuated, name: agreed})
