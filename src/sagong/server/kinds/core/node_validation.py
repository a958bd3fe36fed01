"""Validation of nodes."""

from collections.abc import Sequence

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path, show_value
from sagong.server.kinds import checks
from sagong.server.kinds.addresses import cidr
from sagong.server.kinds.core.pod_scheduling import TAINT_EFFECTS

_SPEC = Path("spec")


def validate_node(node: Obj, errors: ErrorList) -> None:
    spec = node.get("spec") or {}
    # Upstream's path of the taints is below the metadata.
    validate_taints(spec.get("taints") or (), Path("metadata").child("taints"), errors)
    for i, text in enumerate(spec.get("podCIDRs") or ()):
        checks.name(text, cidr, _SPEC.child("podCIDRs").index(i), errors)
    status = node.get("status") or {}
    for field in ("capacity", "allocatable"):
        for name, value in (status.get(field) or {}).items():
            where = Path("status").child(field, name)
            checks.not_negative_quantity(value, where, errors)


def validate_taints(taints: Sequence[Obj], path: Path, errors: ErrorList) -> None:
    seen: set[tuple[str, str]] = set()
    for i, taint in enumerate(taints):
        at = path.index(i)
        key, value = taint.get("key") or "", taint.get("value") or ""
        checks.qualified_name(key, at.child("key"), errors)
        wrong = names.label_value(value)
        if wrong:
            errors.invalid(at.child("value"), value, ";".join(wrong))
        effect = taint.get("effect") or ""
        if checks.required(effect, at.child("effect"), errors):
            checks.one_of(effect, TAINT_EFFECTS, at.child("effect"), errors)
        if (key, effect) in seen:
            shown = {"Key": key, "Value": value, "Effect": effect}
            shown["TimeAdded"] = taint.get("timeAdded")
            message = "taints must be unique by key and effect pair"
            errors.add(
                "FieldValueDuplicate", at, f"Duplicate value: {show_value(shown)}: {message}"
            )
        seen.add((key, effect))


def validate_node_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    ours, theirs = new.get("spec") or {}, old.get("spec") or {}
    provider = theirs.get("providerID")
    if provider and ours.get("providerID") != provider:
        message = 'node updates may not change providerID except from "" to valid'
        errors.forbidden(_SPEC.child("providerID"), message)
    cidrs = theirs.get("podCIDRs") or []
    if cidrs and ours.get("podCIDRs") != cidrs:
        message = 'node updates may not change podCIDR except from "" to valid'
        errors.forbidden(_SPEC.child("podCIDRs"), message)
    if ours.get("externalID") != theirs.get("externalID"):
        errors.forbidden(_SPEC.child("externalID"), "may not be updated")
