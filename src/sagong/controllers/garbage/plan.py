"""What becomes of an object, given the state of its owners. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from sagong.api.meta import finalizers_of, owner_references_of
from sagong.api.types import Obj
from sagong.controllers.garbage.graph import FOREGROUND, ORPHAN


class Owner(Enum):
    """What is known of an owner, looked up at the server where the cache was in doubt."""

    SOLID = "solid"
    ABSENT = "absent"
    WAITING = "waiting for its dependents to go"
    # Its kind is not served: nothing can be said, so nothing is done yet.
    UNKNOWN = "unknown"
    # A cluster-scoped object names an owner in a namespace: nothing will ever be done.
    UNRESOLVABLE = "unresolvable"


class Step(Enum):
    KEEP = "keep"
    DROP_REFERENCES = "drop the references to owners that are gone"
    DELETE = "delete"
    UNKNOWN = "ask again later whether an owner's kind is served"


@dataclass(frozen=True, slots=True)
class Verdict:
    step: Step
    policy: str = ""  # propagation policy of the deletion
    references: Sequence[Obj] = ()  # what stays of ownerReferences


def judge(obj: Obj, owners: Mapping[str, Owner], *, has_dependents: bool) -> Verdict:
    """``owners`` by uid. One solid owner keeps an object; it loses the references to others."""
    references = owner_references_of(obj)
    if not references:
        return Verdict(Step.KEEP)
    states = [owners[ref["uid"]] for ref in references]
    if Owner.UNRESOLVABLE in states:
        return Verdict(Step.KEEP)
    if Owner.UNKNOWN in states:
        return Verdict(Step.UNKNOWN)
    if Owner.SOLID in states:
        kept = [ref for ref, s in zip(references, states, strict=True) if s is Owner.SOLID]
        if len(kept) == len(references):
            return Verdict(Step.KEEP)
        return Verdict(Step.DROP_REFERENCES, references=kept)
    if Owner.WAITING in states and has_dependents:
        return Verdict(Step.DELETE, policy="Foreground")
    finalizers = finalizers_of(obj)
    if ORPHAN in finalizers:
        return Verdict(Step.DELETE, policy="Orphan")
    if FOREGROUND in finalizers:
        return Verdict(Step.DELETE, policy="Foreground")
    return Verdict(Step.DELETE, policy="Background")


def blocks(obj: Obj, owner_uid: str) -> bool:
    """Whether a dependent must be gone before its owner may go."""
    return any(
        ref["uid"] == owner_uid and ref.get("blockOwnerDeletion")
        for ref in owner_references_of(obj)
    )
