"""The next step of a StatefulSet: replicas in order, then those too many, then old revisions. Pure.

Semantics: upstream's ``stateful_set_control.go``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api.intstr import scaled
from sagong.api.meta import is_deleting, name_of
from sagong.api.pods import is_finished, phase_of
from sagong.api.types import Obj
from sagong.controllers.apps.statefulset_identity import (
    claims_of,
    identity_matches,
    in_range,
    is_available_member,
    is_stale,
    new_pod,
    ordinal_of,
    replicas_of,
    retained_claim,
    revision_of,
    start_of,
    storage_matches,
    with_identity,
    with_storage,
)
from sagong.controllers.pods.revisions import template_of
from sagong.controllers.pods.state import is_ready


@dataclass(frozen=True, slots=True)
class CreatePod:
    pod: Obj
    claims: Sequence[Obj]  # to create first, those that are missing


@dataclass(frozen=True, slots=True)
class DeletePod:
    pod: Obj
    # Of a Normal or Warning event that precedes it: type, reason, message.
    event: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class UpdatePod:
    pod: Obj


@dataclass(frozen=True, slots=True)
class CreateClaims:
    pod: Obj
    claims: Sequence[Obj]


@dataclass(frozen=True, slots=True)
class UpdateClaim:
    claim: Obj


Action = CreatePod | DeletePod | UpdatePod | CreateClaims | UpdateClaim


@dataclass(frozen=True, slots=True)
class Seen:
    set_: Obj
    current: Obj  # revisions
    update: Obj
    pods: Sequence[Obj]
    claims: Mapping[str, Obj]  # the namespace's, by name


@dataclass(slots=True)
class Plan:
    status: Obj
    actions: list[Action] = field(default_factory=list)
    # A claim of an earlier pod of the same name must go first; nothing tells when.
    waits_for_claim: bool = False


def plan(seen: Seen, *, now: float) -> Plan:
    """Ordered actions; in OrderedReady at most one pod is created or deleted."""
    set_ = seen.set_
    found = Plan(plan_status(seen, now=now))
    if is_deleting(set_):
        return found
    members: dict[int, Obj] = {}
    condemned: list[tuple[int, Obj]] = []
    for pod in seen.pods:
        ordinal = ordinal_of(set_, pod)
        if ordinal is None:
            continue
        if in_range(set_, ordinal):
            members[ordinal] = pod
        else:
            condemned.append((ordinal, pod))
    condemned.sort(key=lambda pair: pair[0], reverse=True)
    if _plan_members(seen, members, found, now) or _plan_condemned(seen, condemned, found, now):
        return found
    strategy = set_["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") == "RollingUpdate":
        _plan_update(seen, members, strategy.get("rollingUpdate") or {}, found, now)
    return found


def is_ordered(set_: Obj) -> bool:
    return bool(set_["spec"].get("podManagementPolicy") != "Parallel")


def _plan_members(seen: Seen, members: Mapping[int, Obj], found: Plan, now: float) -> bool:
    """Each ordinal from the first on; whether nothing more may happen in this step."""
    set_, ordered = seen.set_, is_ordered(seen.set_)
    replacing = False
    for ordinal in range(start_of(set_), start_of(set_) + replicas_of(set_)):
        pod = members.get(ordinal)
        if pod is None:
            _plan_creation(seen, ordinal, found)
            if ordered:
                return True
            continue
        if is_finished(pod):
            if not is_deleting(pod):
                found.actions.append(DeletePod(pod, _recreating(set_, pod)))
            # The identity is taken until the pod is gone.
            replacing = True
            if ordered:
                return True
            continue
        missing = _missing_claims(seen, ordinal)
        if phase_of(pod) == "Pending" and missing:
            found.actions.append(CreateClaims(pod, missing))
        if ordered and not is_available_member(set_, pod, now):
            return True
        _plan_invariants(seen, ordinal, pod, found)
    return replacing


def _recreating(set_: Obj, pod: Obj) -> tuple[str, str, str]:
    name = f"{set_['metadata']['namespace']}/{name_of(set_)}"
    if phase_of(pod) == "Failed":
        text = f"StatefulSet {name} is recreating failed Pod {name_of(pod)}"
        return "Warning", "RecreatingFailedPod", text
    text = f"StatefulSet {name} is recreating terminated Pod {name_of(pod)}"
    return "Normal", "RecreatingTerminatedPod", text


def _missing_claims(seen: Seen, ordinal: int) -> list[Obj]:
    wanted = claims_of(seen.set_, ordinal).values()
    return [claim for claim in wanted if name_of(claim) not in seen.claims]


def _plan_creation(seen: Seen, ordinal: int, found: Plan) -> None:
    set_ = seen.set_
    name = f"{name_of(set_)}-{ordinal}"
    for claim in claims_of(set_, ordinal).values():
        present = seen.claims.get(name_of(claim))
        if present is not None and (is_stale(present, name) or is_deleting(present)):
            found.waits_for_claim = True
            return
    revision = seen.current if _needs_current(set_, ordinal) else seen.update
    pod = new_pod(set_, template_of(revision), name_of(revision), ordinal)
    missing = [retained_claim(set_, c, ordinal, None) for c in _missing_claims(seen, ordinal)]
    found.actions.append(CreatePod(pod, missing))


def _needs_current(set_: Obj, ordinal: int) -> bool:
    """Whether a new pod of the ordinal is of the current revision, below the partition."""
    strategy = set_["spec"].get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return False
    if rolling is None:
        below = (set_.get("status") or {}).get("currentReplicas") or 0
    else:
        below = rolling.get("partition") or 0
    return ordinal < start_of(set_) + int(below)


def _plan_invariants(seen: Seen, ordinal: int, pod: Obj, found: Plan) -> None:
    """Identity, storage and the owners of claims, put right on a living pod."""
    set_ = seen.set_
    if not identity_matches(set_, pod, ordinal) or not storage_matches(set_, pod, ordinal):
        found.actions.append(
            UpdatePod(with_storage(set_, with_identity(set_, pod, ordinal), ordinal))
        )
    _plan_retention(seen, ordinal, pod, found)


def _plan_retention(seen: Seen, ordinal: int, pod: Obj, found: Plan) -> None:
    for claim in claims_of(seen.set_, ordinal):
        present = seen.claims.get(f"{claim}-{name_of(seen.set_)}-{ordinal}")
        if present is None or is_deleting(present):
            continue
        retained = retained_claim(seen.set_, present, ordinal, pod)
        if retained is not present:
            found.actions.append(UpdateClaim(retained))


def _plan_condemned(
    seen: Seen, condemned: Sequence[tuple[int, Obj]], found: Plan, now: float
) -> bool:
    """Ordinals past the end go from the highest on; whether nothing more may happen."""
    set_, ordered = seen.set_, is_ordered(seen.set_)
    unhealthy = [o for o, pod in condemned if not is_available_member(set_, pod, now)]
    first_unhealthy = min(unhealthy, default=None)
    for ordinal, pod in condemned:
        _plan_retention(seen, ordinal, pod, found)
    for ordinal, pod in condemned:
        if is_deleting(pod):
            if ordered:
                return True
            continue
        healthy = is_available_member(set_, pod, now)
        if ordered and not healthy and ordinal != first_unhealthy:
            return True
        found.actions.append(DeletePod(pod))
        if ordered:
            return True
    return False


def _plan_update(
    seen: Seen, members: Mapping[int, Obj], rolling: Obj, found: Plan, now: float
) -> None:
    """Delete pods of older revisions from the highest ordinal down to the partition."""
    set_, update = seen.set_, name_of(seen.update)
    lowest = start_of(set_) + int(rolling.get("partition") or 0)
    targets = [o for o in sorted(members, reverse=True) if o >= lowest]
    limit = rolling.get("maxUnavailable")
    if limit is None:
        for ordinal in targets:
            pod = members[ordinal]
            if revision_of(pod) != update and not is_deleting(pod):
                found.actions.append(DeletePod(pod))
                return
            if not is_available_member(set_, pod, now):
                return
        return
    most = max(1, scaled(limit, replicas_of(set_), round_up=True))
    unavailable = {o for o, pod in members.items() if not is_available_member(set_, pod, now)}
    missing = replicas_of(set_) - len(members)
    left = most - len(unavailable) - missing
    for ordinal in targets:
        pod = members[ordinal]
        if revision_of(pod) == update or is_deleting(pod):
            continue
        if ordinal not in unavailable:
            if left <= 0:
                return
            left -= 1
        found.actions.append(DeletePod(pod))


def plan_status(seen: Seen, *, now: float) -> Obj:
    """Counts of the pods there are, and how far the update has come."""
    set_, old = seen.set_, seen.set_.get("status") or {}
    current, update = name_of(seen.current), name_of(seen.update)
    created = [pod for pod in seen.pods if phase_of(pod)]
    running = [pod for pod in created if phase_of(pod) == "Running" and is_ready(pod)]
    staying = [revision_of(pod) for pod in created if not is_deleting(pod)]
    ready, replicas, updated = len(running), len(created), staying.count(update)
    on_current = staying.count(current)
    strategy = (set_["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate")
    if strategy == "RollingUpdate" and updated == replicas == ready:
        current, on_current = update, updated
    status: Obj = {
        "observedGeneration": set_["metadata"].get("generation", 0),
        "replicas": replicas,
        "readyReplicas": ready,
        "currentReplicas": on_current,
        "updatedReplicas": updated,
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": old.get("collisionCount") or 0,
        "availableReplicas": sum(is_available_member(set_, pod, now) for pod in running),
    }
    if old.get("conditions"):
        status["conditions"] = old["conditions"]
    always = ("replicas", "collisionCount", "availableReplicas")
    return {k: v for k, v in status.items() if k in always or v}
