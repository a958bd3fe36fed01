"""Revisions of a pod template, as ControllerRevisions (upstream ``controller/history``). Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sagong.api.meta import annotations_of, name_of, namespace_of, owner_reference
from sagong.api.types import Obj
from sagong.controllers.pods.template import pruned
from sagong.ctl.ownership import template_hash

RESOURCE = "controllerrevisions.apps"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
NAME_CHARS_MAX = 223


@dataclass(frozen=True, slots=True)
class Current:
    """The revision of the present template, and what must be written for it to stand so."""

    revision: Obj
    create: bool = False
    # The revision existed with a lower number (a roll-back): it becomes the newest.
    renumber: bool = False


def number_of(revision: Obj) -> int:
    return int(revision.get("revision") or 0)


def in_order(revisions: Iterable[Obj]) -> list[Obj]:
    """Oldest first."""
    return sorted(
        revisions,
        key=lambda r: (number_of(r), r["metadata"].get("creationTimestamp", ""), name_of(r)),
    )


def data_of(template: Obj) -> Obj:
    """The patch that puts a template into effect."""
    return {"spec": {"template": template | {"$patch": "replace"}}}


def template_of(revision: Obj) -> Obj:
    """The template that a revision holds."""
    template: Obj = revision["data"]["spec"]["template"]
    return {k: v for k, v in template.items() if k != "$patch"}


def current(owner: Obj, revisions: Sequence[Obj], *, hash_label: str) -> Current:
    """The revision of the owner's template; ``revisions`` are in order."""
    template = owner["spec"]["template"]
    data = data_of(template)
    number = max(map(number_of, revisions), default=0) + 1
    wanted: Any = pruned(data)
    equal = [r for r in revisions if pruned(r["data"]) == wanted]
    if equal and equal[-1] is revisions[-1]:
        return Current(equal[-1])
    if equal:
        return Current(equal[-1] | {"revision": number}, renumber=True)
    collisions = (owner.get("status") or {}).get("collisionCount") or 0
    hashed = template_hash(data, collisions)
    annotations = {k: v for k, v in annotations_of(owner).items() if k != LAST_APPLIED}
    metadata: Obj = {
        "name": f"{name_of(owner)[:NAME_CHARS_MAX]}-{hashed}",
        "namespace": namespace_of(owner),
        "labels": {**((template.get("metadata") or {}).get("labels") or {}), hash_label: hashed},
        "ownerReferences": [owner_reference(owner)],
    }
    if annotations:
        metadata["annotations"] = annotations
    made = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "data": data,
        "revision": number,
    }
    return Current(made, create=True)


def past_history(revisions: Sequence[Obj], live: Collection[str], limit: int) -> list[Obj]:
    """Old revisions past the limit that no pod is of; ``live``: names that must stay."""
    historic = [r for r in revisions if name_of(r) not in live]
    return historic[: max(0, len(historic) - limit)]
