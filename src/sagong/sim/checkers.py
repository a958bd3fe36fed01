"""What must hold at every change of a cluster, or once it has settled.

A check is ``check(view, seen)`` and raises AssertionError; those that remember are classes. The
first group holds always, whatever fails; the second under the conditions that each names.
"""

from collections.abc import Callable, Iterable

from sagong.api.intstr import scaled
from sagong.api.meta import condition, controller_of, is_deleting, name_of, owner_references_of
from sagong.api.selectors import selector_from_object
from sagong.api.types import Key, Obj
from sagong.api.usage import amounts, pod_requests
from sagong.sim.fleet import Fleet
from sagong.sim.view import Check, Seen, View

_ENDED = ("Succeeded", "Failed")


def is_ended(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") in _ENDED


def is_pod_ready(pod: Obj) -> bool:
    ready = condition(pod, "Ready")
    return ready is not None and ready["status"] == "True" and not is_ended(pod)


# Always


def bound_once(view: View, seen: Seen) -> None:
    """A pod never moves, and never goes back to waiting."""
    if seen.resource != "pods" or seen.old is None or seen.new is None:
        return
    before = seen.old["spec"].get("nodeName")
    if before and seen.old["metadata"]["uid"] == seen.new["metadata"]["uid"]:
        after = seen.new["spec"].get("nodeName")
        assert after == before, f"a pod bound to {before} moved to {after}"


def generations_rise(view: View, seen: Seen) -> None:
    """Generations never fall, and an object keeps its identity until it is deleted."""
    if seen.old is None or seen.new is None:
        return
    old, new = seen.old["metadata"], seen.new["metadata"]
    assert old.get("uid") == new.get("uid"), "an object changed its uid"
    assert old.get("creationTimestamp") == new.get("creationTimestamp"), "it was made twice"
    assert (old.get("generation") or 0) <= (new.get("generation") or 0), "its generation fell"
    if old.get("deletionTimestamp"):
        assert new.get("deletionTimestamp"), "a deletion was taken back"


def ended_pods_stay_ended(view: View, seen: Seen) -> None:
    if seen.resource == "pods" and seen.old and seen.new and is_ended(seen.old):
        before, after = seen.old["status"]["phase"], seen.new["status"]["phase"]
        assert before == after, f"a pod that was {before} is {after}"


class RoomForAll:
    """No node is given more than it has. Reads every binding; counts by itself."""

    def __init__(self) -> None:
        self._used: dict[str, dict[str, int]] = {}
        self._counted: dict[str, tuple[str, dict[str, int]]] = {}

    def __call__(self, view: View, seen: Seen) -> None:
        if seen.resource != "pods":
            return
        obj = seen.new or seen.old
        assert obj is not None
        uid, node = obj["metadata"]["uid"], obj["spec"].get("nodeName")
        counts = seen.new is not None and node and not is_ended(seen.new)
        if not counts:
            self._release(uid)
        elif uid not in self._counted:
            self._take(uid, node, obj)
            self._compare(view, node)

    def _take(self, uid: str, node: str, pod: Obj) -> None:
        wanted = {name: q.nano for name, q in pod_requests(pod).items()}
        wanted["pods"] = 10**9
        self._counted[uid] = (node, wanted)
        used = self._used.setdefault(node, {})
        for name, amount in wanted.items():
            used[name] = used.get(name, 0) + amount

    def _release(self, uid: str) -> None:
        node, wanted = self._counted.pop(uid, ("", {}))
        for name, amount in wanted.items():
            self._used[node][name] -= amount

    def _compare(self, view: View, name: str) -> None:
        node = view.get("nodes", "", name)
        if node is None:
            return
        for resource, limit in amounts(node["status"]["allocatable"]).items():
            used = self._used[name].get(resource, 0)
            assert used <= limit.nano, f"{name} gives {used / 1e9:g} of {limit} {resource}"


class OneOfEachIdentity:
    """Of a stateful set's pod, containers run on one node at most, be nodes silent or not."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def __call__(self, view: View, seen: Seen) -> None:
        if seen.resource != "pods":
            return
        owner = controller_of(seen.new or seen.old or {"metadata": {}})
        if owner is None or owner["kind"] != "StatefulSet":
            return
        where = [life.node for life in self._fleet.running() if life.key == seen.key]
        assert len(where) <= 1, f"{seen.key.name} runs on {' and '.join(where)}"


class JobsCountExactly:
    """A Job never counts a pod that did not end so, and once it is done it has counted all."""

    def __init__(self) -> None:
        self._ended: dict[str, dict[str, set[str]]] = {}

    def __call__(self, view: View, seen: Seen) -> None:
        if seen.resource == "pods" and seen.new is not None and is_ended(seen.new):
            owner = controller_of(seen.new)
            if owner is not None and owner["kind"] == "Job":
                phases = self._ended.setdefault(owner["uid"], {"Succeeded": set(), "Failed": set()})
                phases[seen.new["status"]["phase"]].add(seen.new["metadata"]["uid"])
        if seen.resource == "jobs.batch" and seen.new is not None:
            self._compare(seen.new)

    def _compare(self, job: Obj) -> None:
        status = job.get("status") or {}
        ended = self._ended.get(job["metadata"]["uid"], {"Succeeded": set(), "Failed": set()})
        counted, happened = status.get("succeeded") or 0, len(ended["Succeeded"])
        assert counted <= happened, f"{counted} successes counted of {happened}"
        if condition(job, "Complete") is not None:
            wanted = job["spec"].get("completions") or counted
            assert counted >= wanted, f"complete with {counted} of {wanted}"


def evictions_are_paid_for(view: View, seen: Seen) -> None:
    """A ready pod that the eviction API removes is entered in its budget before."""
    if seen.resource != "pods" or seen.old is None or not is_pod_ready(seen.old):
        return
    target = condition(seen.new or seen.old, "DisruptionTarget") or {}
    going = seen.new is None or is_deleting(seen.new)
    if not going or is_deleting(seen.old) or target.get("reason") != "EvictionByEvictionAPI":
        return
    labels = seen.old["metadata"].get("labels") or {}
    for budget in view.list("poddisruptionbudgets.policy", seen.key.namespace):
        if not selector_from_object(budget["spec"].get("selector")).matches(labels):
            continue
        status = budget.get("status") or {}
        entered = seen.key.name in (status.get("disruptedPods") or {})
        assert entered, f"{seen.key.name} was evicted past its budget {name_of(budget)}"
        assert int(status.get("disruptionsAllowed") or 0) >= 0, "more was allowed than there is"


def quotas_hold(view: View, seen: Seen) -> None:
    """Pods that a ResourceQuota counts are never more than it allows.

    One that should have ended by now does not count, so none that is being deleted is looked at.
    """
    if seen.resource != "pods" or seen.old is not None or seen.new is None:
        return
    namespace = seen.key.namespace
    pods = view.list("pods", namespace)
    living = sum(not is_ended(pod) and not is_deleting(pod) for pod in pods)
    for quota in view.list("resourcequotas", namespace):
        hard = (quota["spec"].get("hard") or {}).get("pods")
        assert hard is None or living <= int(hard), f"{living} pods, quota {hard}"


class SizesHold:
    """No controller keeps more pods than it was ever asked for within the last while.

    A set that has just been made smaller has its surplus for a moment; ``slack_seconds`` bounds it.
    """

    def __init__(self, now: Callable[[], float], slack_seconds: float) -> None:
        self._now = now
        self._slack_seconds = slack_seconds
        self._wanted: dict[str, tuple[int, float]] = {}  # uid -> present size, since when
        self._before: dict[str, int] = {}  # the largest size within the slack

    def __call__(self, view: View, seen: Seen) -> None:
        if seen.resource == "replicasets.apps" and seen.new is not None:
            self._note(seen.new)
        if seen.resource != "pods" or seen.old is not None or seen.new is None:
            return
        owner = controller_of(seen.new)
        if owner is None or owner["kind"] != "ReplicaSet":
            return
        active = [
            p
            for p in pods_of(view, "ReplicaSet", owner["name"], seen.key.namespace)
            if not is_ended(p) and not is_deleting(p)
        ]
        size, since = self._wanted.get(owner["uid"], (0, 0.0))
        if self._now() - since <= self._slack_seconds:
            size = max(size, self._before.get(owner["uid"], 0))
        assert len(active) <= size, f"{len(active)} pods of {owner['name']}, which wants {size}"

    def _note(self, rs: Obj) -> None:
        uid, size = rs["metadata"]["uid"], int(rs["spec"].get("replicas", 1))
        before, since = self._wanted.get(uid, (0, 0.0))
        if size != before:
            recent = self._now() - since <= self._slack_seconds
            self._before[uid] = max(before, self._before.get(uid, 0) if recent else 0)
            self._wanted[uid] = (size, self._now())


def always() -> list[Check]:
    """A fresh set of the checks that hold whatever fails."""
    return [
        bound_once,
        generations_rise,
        ended_pods_stay_ended,
        evictions_are_paid_for,
        quotas_hold,
        RoomForAll(),
        JobsCountExactly(),
    ]


# While no node fails


class RollsWithin:
    """A Deployment keeps to maxSurge and maxUnavailable once it has been up."""

    def __init__(self, name: str, namespace: str = "default") -> None:
        self._key = Key(namespace, name)
        self._was_up = False

    def __call__(self, view: View, seen: Seen) -> None:
        deployment = view.get("deployments.apps", self._key.namespace, self._key.name)
        if deployment is None or seen.resource not in ("pods", "replicasets.apps"):
            return
        spec = deployment["spec"]
        rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
        total = spec["replicas"]
        surge = scaled(rolling.get("maxSurge", "25%"), total, round_up=True)
        gone = scaled(rolling.get("maxUnavailable", "25%"), total, round_up=False)
        pods = [p for p in self._pods(view, deployment) if not is_ended(p) and not is_deleting(p)]
        sets = sum(rs["spec"]["replicas"] for rs in self._sets(view, deployment))
        assert sets <= total + surge, f"replica sets want {sets} of {total}, maxSurge {surge}"
        ready = sum(is_pod_ready(pod) for pod in pods)
        self._was_up = self._was_up or ready >= total
        if self._was_up:
            assert ready >= total - gone, f"{ready} of {total} ready, maxUnavailable {gone}"

    def _sets(self, view: View, deployment: Obj) -> list[Obj]:
        uid = deployment["metadata"]["uid"]
        sets = view.list("replicasets.apps", self._key.namespace)
        return [rs for rs in sets if (controller_of(rs) or {}).get("uid") == uid]

    def _pods(self, view: View, deployment: Obj) -> Iterable[Obj]:
        selector = selector_from_object(deployment["spec"]["selector"])
        pods = view.list("pods", self._key.namespace)
        return (p for p in pods if selector.matches(p["metadata"].get("labels") or {}))


class KeepsReady:
    """So many pods that match are ready at every moment, once they have been: a budget's promise.

    Eviction may not break it; deleting pods and losing nodes may.
    """

    def __init__(self, labels: dict[str, str], ready_min: int) -> None:
        self._labels = labels.items()
        self._ready_min = ready_min
        self._was_up = False

    def __call__(self, view: View, seen: Seen) -> None:
        if seen.resource != "pods":
            return
        ready = sum(
            is_pod_ready(pod) and not is_deleting(pod)
            for pod in view.list("pods")
            if self._labels <= (pod["metadata"].get("labels") or {}).items()
        )
        self._was_up = self._was_up or ready > self._ready_min
        assert not self._was_up or ready >= self._ready_min, f"{ready} ready, not {self._ready_min}"


# Once settled


def dangling(view: View) -> list[str]:
    """Objects whose owners are all gone."""
    alive = {obj["metadata"]["uid"] for _, obj in view.all()}
    found = []
    for resource, obj in view.all():
        owners = owner_references_of(obj)
        if owners and not any(owner["uid"] in alive for owner in owners):
            found.append(f"{resource} {name_of(obj)}")
    return found


def pods_of(view: View, kind: str, name: str, namespace: str = "default") -> list[Obj]:
    """The pods that a controller object owns, by its kind and name."""
    found = []
    for pod in view.list("pods", namespace):
        owner = controller_of(pod)
        if owner is not None and (owner["kind"], owner["name"]) == (kind, name):
            found.append(pod)
    return found
