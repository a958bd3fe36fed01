"""Validation of dynamic resource allocation."""

from collections.abc import Sequence

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_scheduling import validate_node_selector
from sagong.server.kinds.core.pod_volumes import validate_csi_driver_name

_SPEC = Path("spec")
_REQUESTS_MAX = 32
_ALTERNATIVES_MAX = 8
_DEVICES_MAX = 128


def validate_claim(claim: Obj, errors: ErrorList) -> None:
    _validate_claim_spec(claim.get("spec") or {}, _SPEC, errors)


def validate_claim_template(template: Obj, errors: ErrorList) -> None:
    spec = (template.get("spec") or {}).get("spec") or {}
    _validate_claim_spec(spec, _SPEC.child("spec"), errors)


def validate_claim_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    checks.unchanged(new.get("spec"), old.get("spec"), _SPEC, errors)


def _validate_claim_spec(spec: Obj, path: Path, errors: ErrorList) -> None:
    requests, where = (spec.get("devices") or {}).get("requests") or [], path.child("devices")
    if len(requests) > _REQUESTS_MAX:
        errors.too_many(where.child("requests"), len(requests), _REQUESTS_MAX)
    seen: set[str] = set()
    for i, request in enumerate(requests):
        at = where.child("requests").index(i)
        _validate_name(request, seen, at, errors)
        exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or []
        if exactly is None and not alternatives:
            errors.required(at, "exactly one of `exactly` or `firstAvailable` is required")
        elif exactly is not None and alternatives:
            message = (
                "exactly one of `exactly` or `firstAvailable` is required, but multiple fields "
                "are set"
            )
            errors.invalid(at, None, message)
        elif exactly is not None:
            _validate_request(exactly, at.child("exactly"), errors)
        else:
            _validate_alternatives(alternatives, at.child("firstAvailable"), errors)
    for i, constraint in enumerate((spec.get("devices") or {}).get("constraints") or ()):
        at = where.child("constraints").index(i)
        for j, name in enumerate(constraint.get("requests") or ()):
            if name.partition("/")[0] not in seen:
                message = (
                    "must be the name of a request in the claim or the name of a request and a "
                    "subrequest separated by '/'"
                )
                errors.invalid(at.child("requests").index(j), name, message)
        if constraint.get("matchAttribute") is None:
            errors.required(at.child("matchAttribute"))


def _validate_alternatives(alternatives: Sequence[Obj], path: Path, errors: ErrorList) -> None:
    if len(alternatives) > _ALTERNATIVES_MAX:
        errors.too_many(path, len(alternatives), _ALTERNATIVES_MAX)
    seen: set[str] = set()
    for i, alternative in enumerate(alternatives):
        _validate_name(alternative, seen, path.index(i), errors)
        _validate_request(alternative, path.index(i), errors)


def _validate_name(request: Obj, seen: set[str], path: Path, errors: ErrorList) -> None:
    name = request.get("name") or ""
    if checks.required(name, path.child("name"), errors):
        checks.dns_label(name, path.child("name"), errors)
        if name in seen:
            errors.duplicate(path.child("name"), name)
    seen.add(name)


def _validate_request(request: Obj, path: Path, errors: ErrorList) -> None:
    where = path.child("deviceClassName")
    if checks.required(request.get("deviceClassName"), where, errors):
        checks.dns_subdomain(request["deviceClassName"], where, errors)
    mode, count = request.get("allocationMode") or "", request.get("count") or 0
    if mode == "ExactCount":
        if count <= 0:
            errors.invalid(path.child("count"), count, "must be greater than zero")
    elif mode == "All":
        if count:
            message = "must not be specified when allocationMode is 'All'"
            errors.invalid(path.child("count"), count, message)
    else:
        errors.not_supported(path.child("allocationMode"), mode, ["All", "ExactCount"])
    _validate_selectors(request, path, errors)


def _validate_selectors(owner: Obj, path: Path, errors: ErrorList) -> None:
    for i, selector in enumerate(owner.get("selectors") or ()):
        at = path.child("selectors").index(i)
        if selector.get("cel") is None:
            errors.required(at.child("cel"))
        else:
            expression = selector["cel"].get("expression")
            where = at.child("cel", "expression")
            if checks.required(expression, where, errors):
                _validate_expression(expression, where, errors)


def _validate_expression(text: str, path: Path, errors: ErrorList) -> None:
    # Imported here: a cluster without devices does without CEL.
    from sagong.api.cel.devices import COST_MAX, EXPRESSION_BYTES_MAX, compile_selector
    from sagong.api.cel.errors import Unfit
    from sagong.api.cel.estimate import cost_max

    if len(text.encode()) > EXPRESSION_BYTES_MAX:
        errors.too_long(path, EXPRESSION_BYTES_MAX)
        return
    try:
        program = compile_selector(text)
    except Unfit as problem:
        errors.invalid(path, text, str(problem))
        return
    if cost_max(program.tree) > COST_MAX:
        errors.forbidden(path, "too complex, exceeds cost limit")


def validate_device_class(obj: Obj, errors: ErrorList) -> None:
    spec = obj.get("spec") or {}
    _validate_selectors(spec, _SPEC, errors)
    for i, config in enumerate(spec.get("config") or ()):
        at = _SPEC.child("config").index(i).child("opaque")
        opaque = config.get("opaque")
        if opaque is None:
            errors.required(at)
            continue
        validate_csi_driver_name(opaque.get("driver") or "", at.child("driver"), errors)


def validate_slice(obj: Obj, errors: ErrorList) -> None:
    spec = obj.get("spec") or {}
    validate_csi_driver_name(spec.get("driver") or "", _SPEC.child("driver"), errors)
    pool, at = spec.get("pool") or {}, _SPEC.child("pool")
    checks.required(pool.get("name"), at.child("name"), errors)
    if (pool.get("resourceSliceCount") or 0) <= 0:
        where = at.child("resourceSliceCount")
        errors.invalid(where, pool.get("resourceSliceCount") or 0, "must be greater than zero")
    checks.not_negative(pool.get("generation"), at.child("generation"), errors)
    _validate_place(spec, errors)
    devices, where = spec.get("devices") or [], _SPEC.child("devices")
    if len(devices) > _DEVICES_MAX:
        errors.too_many(where, len(devices), _DEVICES_MAX)
    seen: set[str] = set()
    for i, device in enumerate(devices):
        _validate_name(device, seen, where.index(i), errors)


def _validate_place(spec: Obj, errors: ErrorList) -> None:
    """Exactly one of the ways to say on which nodes the devices are."""
    fields = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
    given = [field for field in fields if spec.get(field)]
    listed = "`nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection`"
    if not given:
        errors.required(_SPEC, f"exactly one of {listed} is required")
    elif len(given) > 1:
        message = f"exactly one of {listed} is required, but multiple fields are set"
        errors.invalid(_SPEC, "{" + ", ".join(f"`{f}`" for f in given) + "}", message)
    if spec.get("nodeName"):
        checks.dns_subdomain(spec["nodeName"], _SPEC.child("nodeName"), errors)
    if spec.get("nodeSelector"):
        validate_node_selector(spec["nodeSelector"], _SPEC.child("nodeSelector"), errors)


def validate_slice_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    ours, theirs = new.get("spec") or {}, old.get("spec") or {}
    for field in ("driver", "nodeName"):
        checks.unchanged(ours.get(field), theirs.get(field), _SPEC.child(field), errors)
    name, before = (ours.get("pool") or {}).get("name"), (theirs.get("pool") or {}).get("name")
    checks.unchanged(name, before, _SPEC.child("pool", "name"), errors)
