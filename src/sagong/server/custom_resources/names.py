"""Which names a definition gets, and what its conditions say of that. Pure.

Source of semantics: apiextensions' ``controller/status`` and ``controller/establish``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sagong.api.meta import condition, deep_copy
from sagong.api.types import Obj

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


def plan_status(definition: Obj, others: Iterable[Obj], *, now: str) -> Obj | None:
    """The status with names accepted or refused; None if the one there says so already.

    ``others`` are the other definitions; only those of the same group matter.
    """
    spec = definition["spec"]
    status = definition.get("status") or {}
    taken = [
        other["status"]["acceptedNames"]
        for other in others
        if other["spec"]["group"] == spec["group"]
        and (other.get("status") or {}).get("acceptedNames")
    ]
    accepted = {k: v for k, v in (status.get("acceptedNames") or {}).items() if v}
    names, problem = accept(spec["names"], accepted, taken)
    naming = _naming(problem)
    established = condition(definition, "Established")
    if established is None or established["status"] != "True":
        established = _established(accepted=problem is None)
    new: Obj = deep_copy(status)
    new["acceptedNames"] = names
    new["conditions"] = merged(status.get("conditions") or (), [naming, established], now=now)
    return None if new == status else new


def accept(
    wanted: Mapping[str, Any], accepted: Mapping[str, Any], taken: Sequence[Mapping[str, Any]]
) -> tuple[Obj, tuple[str, str] | None]:
    """The names that a definition has from now on, and the reason and message of a conflict."""
    resources = {name for names in taken for name in _resource_names(names)}
    kinds = {names.get(field) for names in taken for field in ("kind", "listKind")}
    names: Obj = dict(accepted)
    problem: tuple[str, str] | None = None
    for field, used in _FIELDS:
        name = wanted.get(field) or ""
        if name != accepted.get(field) and name in (kinds if used == "kinds" else resources):
            problem = (f"{field[0].upper()}{field[1:]}Conflict", f'"{name}" is already in use')
        elif name:
            names[field] = name
    short = [name for name in wanted.get("shortNames") or () if name in resources]
    if short:
        texts = [f'"{name}" is already in use' for name in short]
        joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        problem = ("ShortNamesConflict", joined)
    elif wanted.get("shortNames"):
        names["shortNames"] = list(wanted["shortNames"])
    else:
        names.pop("shortNames", None)
    names.pop("categories", None)
    if wanted.get("categories"):
        names["categories"] = list(wanted["categories"])
    return {"plural": "", "kind": "", **names}, problem


_FIELDS = (
    ("plural", "resources"),
    ("singular", "resources"),
    ("kind", "kinds"),
    ("listKind", "kinds"),
)


def _resource_names(names: Mapping[str, Any]) -> list[str]:
    found = [names.get("plural"), names.get("singular"), *(names.get("shortNames") or ())]
    return [name for name in found if name]


def _naming(problem: tuple[str, str] | None) -> Obj:
    if problem is None:
        return _condition("NamesAccepted", True, "NoConflicts", "no conflicts found")
    return _condition("NamesAccepted", False, *problem)


def _established(*, accepted: bool) -> Obj:
    if not accepted:
        return _condition("Established", False, "NotAccepted", "not all names are accepted")
    message = "the initial names have been accepted"
    return _condition("Established", True, "InitialNamesAccepted", message)


def terminating(reason: str, message: str, *, holds: bool = True) -> Obj:
    """How far the deletion of a definition's objects has come."""
    return _condition("Terminating", holds, reason, message)


def _condition(type_: str, holds: bool, reason: str, message: str) -> Obj:
    status = "True" if holds else "False"
    return {"type": type_, "status": status, "reason": reason, "message": message}


def merged(current: Sequence[Obj], new: Sequence[Obj], *, now: str) -> list[Obj]:
    """Conditions with the new ones in the place of old ones of their types, or at the end."""
    found = {c["type"]: c for c in current}
    for wanted in new:
        old = found.get(wanted["type"])
        same = old is not None and old["status"] == wanted["status"]
        since = old["lastTransitionTime"] if old is not None and same else now
        found[wanted["type"]] = {"lastTransitionTime": since, **wanted}
        found[wanted["type"]]["lastTransitionTime"] = since
    return list(found.values())
