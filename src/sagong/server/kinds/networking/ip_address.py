"""IP addresses: the reservation of one address for one object, named by the address."""

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.addresses import parse_ip
from sagong.server.kinds.strategy import Strategy


def validate(obj: Obj, errors: ErrorList) -> None:
    name, where = obj["metadata"].get("name") or "", Path("metadata").child("name")
    ip = parse_ip(name)
    if ip is None:
        message = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        errors.invalid(where, name, message)
    elif str(ip) != name:
        errors.invalid(where, name, f'must be in canonical form ("{ip}")')
    parent, path = (obj.get("spec") or {}).get("parentRef"), Path("spec").child("parentRef")
    if parent is None:
        errors.required(path)
        return
    if parent.get("group"):
        checks.dns_subdomain(parent["group"], path.child("group"), errors)
    for field in ("resource", "name"):
        if checks.required(parent.get(field), path.child(field), errors):
            checks.name(parent[field], names.path_segment_name, path.child(field), errors)
    if parent.get("namespace"):
        at = path.child("namespace")
        checks.name(parent["namespace"], names.path_segment_name, at, errors)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    ours, theirs = (new.get("spec") or {}), (old.get("spec") or {})
    where = Path("spec").child("parentRef")
    checks.unchanged(ours.get("parentRef"), theirs.get("parentRef"), where, errors)


STRATEGY = Strategy(
    validate=validate, validate_update=validate_update, name_rule="path-segment", has_status=False
)
