"""The working copy that a Deployment's plan writes on: its ReplicaSets as they are to be. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from sagong.api.meta import annotations_of, is_deleting, name_of
from sagong.api.types import Obj
from sagong.controllers.apps.deployment_facts import (
    REVISION,
    UNSET,
    age_key,
    has_progress_deadline,
    progressing,
    replicas_of,
    revision_of,
    status_count,
    with_pods,
)
from sagong.controllers.apps.deployment_revision import (
    find_newest,
    new_set,
    replicas_annotations,
    updated_newest,
)
from sagong.controllers.pods import conditions
from sagong.core.clock import format_time


@dataclass(frozen=True, slots=True)
class CreateSet:
    """Create a ReplicaSet; it starts with spec.replicas pods."""

    rs: Obj


@dataclass(frozen=True, slots=True)
class UpdateSet:
    """Write a ReplicaSet; ``events`` are the messages of the scalings it contains."""

    rs: Obj
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteSet:
    """Delete a ReplicaSet that history no longer needs."""

    rs: Obj


Action = CreateSet | UpdateSet | DeleteSet


def new_condition(type_: str, status: str, reason: str, message: str, now: float) -> Obj:
    """A Deployment condition that begins now."""
    time = format_time(now)
    return {
        "type": type_,
        "status": status,
        "lastUpdateTime": time,
        "lastTransitionTime": time,
        "reason": reason,
        "message": message,
    }


@dataclass(slots=True)
class Rollout:
    """A Deployment with its sets while a plan is made: changes are noted, nothing is written."""

    deployment: Obj
    now: float
    newest: Obj | None
    old: list[Obj]
    actions: dict[str, Action] = field(default_factory=dict)

    @property
    def sets(self) -> list[Obj]:
        return [*self.old, *([self.newest] if self.newest is not None else [])]

    @property
    def active_old(self) -> list[Obj]:
        return with_pods(self.old)

    def set_condition(self, type_: str, status: str, reason: str, message: str) -> None:
        """Set a condition of the Deployment as it is seen by the rest of the plan."""
        current = self.deployment.get("status") or {}
        new = new_condition(type_, status, reason, message, self.now)
        changed = conditions.replaced(current.get("conditions") or [], new)
        self.deployment = self.deployment | {"status": current | {"conditions": changed}}

    def sync_revision(self, *, create: bool) -> None:
        """Give the newest set the highest revision, and the Deployment its number.

        With ``create`` the set is created if there is none.
        """
        if self.newest is not None:
            updated = updated_newest(self.deployment, self.newest, self.old)
            if updated is not self.newest:
                self._note(updated)
            if has_progress_deadline(self.deployment) and progressing(self.deployment) is None:
                message = f'Found new replica set "{name_of(self.newest)}"'
                self.set_condition("Progressing", "True", "FoundNewReplicaSet", message)
        elif create:
            self.newest = new_set(self.deployment, self.old)
            self.actions[name_of(self.newest)] = CreateSet(self.newest)
            if has_progress_deadline(self.deployment):
                message = f'Created new replica set "{name_of(self.newest)}"'
                self.set_condition("Progressing", "True", "NewReplicaSetCreated", message)
        else:
            return
        self._number(annotations_of(self.newest).get(REVISION, ""))

    def _number(self, revision: str) -> None:
        annotations = annotations_of(self.deployment)
        if revision and annotations.get(REVISION) != revision:
            metadata = self.deployment["metadata"]
            merged = metadata | {"annotations": {**annotations, REVISION: revision}}
            self.deployment = self.deployment | {"metadata": merged}

    def scale(self, rs: Obj, replicas: int) -> bool:
        """Give a set another size; whether that changed its size."""
        rs = self._present(rs)
        size = replicas_of(rs)
        wanted = replicas_annotations(self.deployment)
        annotations = annotations_of(rs)
        if size == replicas and wanted.items() <= annotations.items():
            return False
        changed = rs | {
            "metadata": rs["metadata"] | {"annotations": {**annotations, **wanted}},
            "spec": rs["spec"] | {"replicas": replicas},
        }
        if size == replicas:
            self._note(changed)
            return False
        direction = "up" if replicas > size else "down"
        message = f"Scaled {direction} replica set {name_of(rs)} from {size} to {replicas}"
        self._note(changed, message)
        return True

    def resize(self, rs: Obj, replicas: int) -> bool:
        """As ``scale``, but leaves the annotations alone if the size is right already."""
        return replicas_of(self._present(rs)) != replicas and self.scale(rs, replicas)

    def clean_up(self) -> None:
        """Forget the oldest revisions past the history limit that have no pods left."""
        limit = self.deployment["spec"].get("revisionHistoryLimit")
        if limit in (None, UNSET):
            return
        living = [rs for rs in self.old if not is_deleting(rs)]
        excess = len(living) - limit
        if excess <= 0:
            return
        for rs in sorted(living, key=lambda rs: (revision_of(rs), age_key(rs)))[:excess]:
            if not _is_used(rs):
                self.actions[name_of(rs)] = DeleteSet(rs)

    def _present(self, rs: Obj) -> Obj:
        return next((s for s in self.sets if name_of(s) == name_of(rs)), rs)

    def _note(self, rs: Obj, event: str | None = None) -> None:
        name = name_of(rs)
        earlier = self.actions.get(name)
        events = earlier.events if isinstance(earlier, UpdateSet) else ()
        if isinstance(earlier, CreateSet):
            self.actions[name] = CreateSet(rs)
        else:
            self.actions[name] = UpdateSet(rs, (*events, event) if event else events)
        if self.newest is not None and name_of(self.newest) == name:
            self.newest = rs
        else:
            self.old = [rs if name_of(s) == name else s for s in self.old]


def _is_used(rs: Obj) -> bool:
    return (
        status_count(rs, "replicas") > 0
        or replicas_of(rs) > 0
        or rs["metadata"].get("generation", 0) > status_count(rs, "observedGeneration")
    )


def begin(deployment: Obj, sets: Iterable[Obj], now: float) -> Rollout:
    """Tell the set of the present template from the others."""
    every = list(sets)
    newest = find_newest(deployment, every)
    old = [rs for rs in every if newest is None or name_of(rs) != name_of(newest)]
    return Rollout(deployment, now, newest, old)
