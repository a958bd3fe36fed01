"""Storage classes."""

from collections.abc import Sequence

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.node_labels import DEPRECATED
from sagong.server.kinds.storage.volume_parameters import validate_parameters
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    if obj.get("reclaimPolicy") is None:
        obj["reclaimPolicy"] = "Delete"
    if obj.get("volumeBindingMode") is None:
        obj["volumeBindingMode"] = "Immediate"


_FIXED = ("parameters", "provisioner", "reclaimPolicy")


def validate(obj: Obj, errors: ErrorList) -> None:
    provisioner = obj.get("provisioner") or ""
    if checks.required(provisioner, Path("provisioner"), errors):
        checks.name(provisioner.lower(), names.qualified_name, Path("provisioner"), errors)
    validate_parameters(obj.get("parameters") or {}, Path("parameters"), errors)
    policy = obj.get("reclaimPolicy")
    if policy:
        checks.one_of(policy, ("Delete", "Retain"), Path("reclaimPolicy"), errors)
    mode = obj.get("volumeBindingMode")
    if checks.required(mode, Path("volumeBindingMode"), errors):
        modes = ("Immediate", "WaitForFirstConsumer")
        checks.one_of(mode, modes, Path("volumeBindingMode"), errors)
    _validate_topologies(obj.get("allowedTopologies") or [], Path("allowedTopologies"), errors)


def _validate_topologies(terms: Sequence[Obj], path: Path, errors: ErrorList) -> None:
    # As upstream: as many empty terms as there are terms are known from the start.
    known: list[dict[str, set[str]]] = [{} for _ in terms]
    for i, term in enumerate(terms):
        wanted = _validate_term(term, path.index(i).child("matchLabelExpressions"), errors)
        for other in known:
            if other == wanted:
                errors.duplicate(path.index(i).child("matchLabelExpressions"), "")
        known.append(wanted)


def _validate_term(term: Obj, path: Path, errors: ErrorList) -> dict[str, set[str]]:
    """Check one term; returns the values that each of its keys may have."""
    wanted: dict[str, set[str]] = {}
    for i, requirement in enumerate(term.get("matchLabelExpressions") or ()):
        at, values = path.index(i), requirement.get("values") or []
        checks.required(values, at.child("values"), errors)
        for j, value in enumerate(values):
            if value in values[:j]:
                errors.duplicate(at.child("values").index(j), value)
        key = requirement.get("key") or ""
        checks.qualified_name(key, at.child("key"), errors)
        if key in wanted:
            errors.duplicate(at.child("key"), key)
        wanted[key] = set(values)
    return wanted


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    for field in _FIXED:
        if (new.get(field) or None) != (old.get(field) or None):
            errors.forbidden(Path(field), f"updates to {field} are forbidden.")
    where = Path("volumeBindingMode")
    checks.unchanged(new.get("volumeBindingMode"), old.get("volumeBindingMode"), where, errors)


def warnings(new: Obj, old: Obj | None) -> list[str]:
    found = []
    for i, term in enumerate(new.get("allowedTopologies") or ()):
        where = Path("allowedTopologies").index(i).child("matchLabelExpressions")
        for j, requirement in enumerate(term.get("matchLabelExpressions") or ()):
            why = DEPRECATED.get(requirement.get("key") or "")
            if why:
                found.append(f"{where.index(j).child('key')}: {why}")
    return found


STRATEGY = Strategy(
    warnings=warnings,
    validate=validate,
    validate_update=validate_update,
    default=default,
    has_status=False,
)
