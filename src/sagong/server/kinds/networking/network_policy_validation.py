"""Validation of network policies."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.addresses import cidr, parse_cidr
from sagong.server.kinds.selectors import validate_label_selector

_SPEC = Path("spec")


def validate_network_policy(policy: Obj, errors: ErrorList) -> None:
    spec = policy.get("spec") or {}
    validate_label_selector(spec.get("podSelector"), _SPEC.child("podSelector"), errors)
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for i, rule in enumerate(spec.get(direction) or ()):
            at = _SPEC.child(direction).index(i)
            for j, port in enumerate(rule.get("ports") or ()):
                _validate_port(port, at.child("ports").index(j), errors)
            for j, peer in enumerate(rule.get(peers) or ()):
                _validate_peer(peer, at.child(peers).index(j), errors)
    types, where = spec.get("policyTypes") or [], _SPEC.child("policyTypes")
    if len(types) > 2:
        errors.invalid(where, types, "may not specify more than two policyTypes")
        return
    for i, type_ in enumerate(types):
        checks.one_of(type_, ("Ingress", "Egress"), where.index(i), errors)


def _validate_port(port: Obj, path: Path, errors: ErrorList) -> None:
    if port.get("protocol") is not None:
        checks.one_of(port["protocol"], ("TCP", "UDP", "SCTP"), path.child("protocol"), errors)
    number, end, where = port.get("port"), port.get("endPort"), path.child("endPort")
    if number is None:
        if end is not None:
            errors.invalid(where, end, "may not be specified when `port` is not specified")
        return
    checks.port_or_name(number, path.child("port"), errors)
    if end is None:
        return
    if isinstance(number, str):
        errors.invalid(where, end, "may not be specified when `port` is non-numeric")
        return
    if end < number:
        errors.invalid(where, number, "must be greater than or equal to `port`")
    checks.port_number(end, where, errors)


def _validate_peer(peer: Obj, path: Path, errors: ErrorList) -> None:
    for field in ("podSelector", "namespaceSelector"):
        validate_label_selector(peer.get(field), path.child(field), errors)
    block = peer.get("ipBlock")
    if block is not None:
        _validate_block(block, path.child("ipBlock"), errors)
    given = checks.exactly_one(peer, ("podSelector", "namespaceSelector", "ipBlock"))
    if not given:
        errors.required(path, "must specify a peer")
    elif len(given) > 1 and block is not None:
        errors.forbidden(path, "may not specify both ipBlock and another peer")


def _validate_block(block: Obj, path: Path, errors: ErrorList) -> None:
    text = block.get("cidr") or ""
    if not checks.required(text, path.child("cidr"), errors):
        return
    if not checks.name(text, cidr, path.child("cidr"), errors):
        return
    whole = parse_cidr(text)
    for i, exception in enumerate(block.get("except") or ()):
        where = path.child("except").index(i)
        if not checks.name(exception, cidr, where, errors):
            continue
        part = parse_cidr(exception)
        if whole is None or part is None or whole.version != part.version:
            inside = False
        else:
            inside = part.network_address in whole and part.prefixlen > whole.prefixlen
        if not inside:
            errors.invalid(where, exception, "must be a strict subset of `cidr`")
