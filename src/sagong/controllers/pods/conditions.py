"""Lists of status conditions: setting one as upstream's per-kind ``SetCondition`` does."""

from collections.abc import Iterable, Sequence

from sagong.api.types import Obj


def find(conditions: Iterable[Obj], type_: str) -> Obj | None:
    return next((c for c in conditions if c.get("type") == type_), None)


def without(conditions: Iterable[Obj], type_: str) -> list[Obj]:
    return [c for c in conditions if c.get("type") != type_]


def replaced(conditions: Sequence[Obj], new: Obj) -> list[Obj]:
    """With the new condition in the last place.

    Nothing changes if the present one has the same status and reason; the transition time stays
    if the status does.
    """
    current = find(conditions, new["type"])
    if current is not None:
        same_status = current.get("status") == new["status"]
        if same_status and current.get("reason") == new.get("reason"):
            return list(conditions)
        if same_status and "lastTransitionTime" in current:
            new = new | {"lastTransitionTime": current["lastTransitionTime"]}
    return [*without(conditions, new["type"]), new]


def without_zeros(status: Obj, *always: str) -> Obj:
    """Without what Go's ``omitempty`` leaves out, so that it compares equal to what is stored."""
    return {k: v for k, v in status.items() if k in always or (v not in (0, "", None) and v != [])}
