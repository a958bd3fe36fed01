"""Service CIDRs: the ranges that cluster IPs come from."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.addresses import cidr, parse_cidr
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    obj.setdefault("status", {})


def validate(obj: Obj, errors: ErrorList) -> None:
    cidrs, where = (obj.get("spec") or {}).get("cidrs") or [], Path("spec").child("cidrs")
    shown = {"CIDRs": cidrs}  # upstream shows its spec
    if not cidrs:
        errors.required(where, "at least one CIDR required")
        return
    if len(cidrs) > 2:
        errors.invalid(where, shown, "may only hold up to 2 values")
        return
    families = {getattr(parse_cidr(text), "version", 0) for text in cidrs}
    if len(cidrs) == 2 and families != {4, 6}:
        message = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and "
        errors.invalid(where, shown, f"{message}2001:db8::/64")
        return
    for i, text in enumerate(cidrs):
        at = where.index(i)
        network = parse_cidr(text)
        if checks.name(text, cidr, at, errors) and str(network) != text:
            errors.invalid(at, text, f'must be in canonical form ("{network}")')


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """Ranges may be added, the ones there stay."""
    ours, theirs = new["spec"].get("cidrs") or [], old["spec"].get("cidrs") or []
    where = Path("spec").child("cidrs")
    for i, text in enumerate(theirs):
        if i >= len(ours) or ours[i] != text:
            shown = ours[i] if i < len(ours) else None
            errors.invalid(where.index(i), shown, "field is immutable")


STRATEGY = Strategy(validate=validate, validate_update=validate_update, default=default)
