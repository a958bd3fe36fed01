"""Validation of what a claim asks for, and of device classes."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_resources import is_extended
from sagong.server.kinds.object_meta import validate_template_meta
from sagong.server.kinds.resource.device_names import (
    CONFIGS_MAX,
    REQUESTS_MAX,
    name_of,
    own,
    validate_configuration,
    validate_full_attribute_name,
    validate_items,
    validate_toleration,
)

_SPEC = Path("spec")
_ALTERNATIVES_MAX = 8
_SELECTORS_MAX = 32
_TOLERATIONS_MAX = 16
_NOT_A_REQUEST = (
    "must be the name of a request in the claim or the name of a request and a subrequest "
    "separated by '/'"
)
_ONE_REQUEST = "exactly one of `exactly` or `firstAvailable` is required"
_ONE_CONSTRAINT = (
    'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are '
    "set"
)


class RequestNames:
    """The requests of a claim by name, and the alternatives in them."""

    def __init__(self, spec: Obj) -> None:
        requests = (spec.get("devices") or {}).get("requests") or ()
        self._alternatives = {
            name_of(request): {name_of(one) for one in request.get("firstAvailable") or ()}
            for request in requests
        }

    def validate(self, reference: str, path: Path, errors: ErrorList) -> None:
        parts = reference.split("/")
        if len(parts) > 2:
            errors.invalid(path, reference, _NOT_A_REQUEST)
            return
        for part in parts:
            checks.dns_label(part, path, errors)
        alternatives = self._alternatives.get(parts[0])
        if alternatives is None or not set(parts[1:]) <= alternatives:
            errors.invalid(path, reference, _NOT_A_REQUEST)


def validate_claim(claim: Obj, errors: ErrorList) -> None:
    _validate_claim_spec(claim.get("spec") or {}, _SPEC, errors)


def validate_claim_template(template: Obj, errors: ErrorList) -> None:
    spec = template.get("spec") or {}
    validate_template_meta(spec.get("metadata") or {}, _SPEC.child("metadata"), errors)
    _validate_claim_spec(spec.get("spec") or {}, _SPEC.child("spec"), errors)


def validate_claim_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    checks.unchanged(new.get("spec"), old.get("spec"), _SPEC, errors)


def _validate_claim_spec(spec: Obj, path: Path, errors: ErrorList) -> None:
    devices, where = spec.get("devices") or {}, path.child("devices")
    names = RequestNames(spec)
    requests = devices.get("requests") or ()
    validate_items(
        requests, REQUESTS_MAX, where.child("requests"), errors, _validate_request, name_of
    )

    def constraint(item: Obj, at: Path, found: ErrorList) -> None:
        _validate_constraint(item, names, at, found)

    def config(item: Obj, at: Path, found: ErrorList) -> None:
        _validate_references(item, names, at, found)
        validate_configuration(item, at, found)

    constraints = devices.get("constraints") or ()
    validate_items(constraints, REQUESTS_MAX, where.child("constraints"), errors, constraint)
    configs = devices.get("config") or ()
    validate_items(configs, CONFIGS_MAX, where.child("config"), errors, config)


def _validate_references(owner: Obj, names: RequestNames, path: Path, errors: ErrorList) -> None:
    references = owner.get("requests") or ()
    validate_items(references, REQUESTS_MAX, path.child("requests"), errors, names.validate, own)


def _validate_constraint(
    constraint: Obj, names: RequestNames, path: Path, errors: ErrorList
) -> None:
    _validate_references(constraint, names, path, errors)
    for field in ("matchAttribute", "distinctAttribute"):
        if constraint.get(field) is not None:
            validate_full_attribute_name(constraint[field], path.child(field), errors)
            return
    errors.required(path, _ONE_CONSTRAINT)


def _validate_request(request: Obj, path: Path, errors: ErrorList) -> None:
    _validate_name(request, path, errors)
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or []
    if exactly is None and not alternatives:
        errors.required(path, _ONE_REQUEST)
    elif exactly is not None and alternatives:
        errors.invalid(path, None, f"{_ONE_REQUEST}, but multiple fields are set")
    elif exactly is not None:
        _validate_demand(exactly, path.child("exactly"), errors)
    else:
        where = path.child("firstAvailable")
        validate_items(
            alternatives, _ALTERNATIVES_MAX, where, errors, _validate_alternative, name_of
        )


def _validate_alternative(alternative: Obj, path: Path, errors: ErrorList) -> None:
    _validate_name(alternative, path, errors)
    _validate_demand(alternative, path, errors)


def _validate_name(request: Obj, path: Path, errors: ErrorList) -> None:
    name = name_of(request)
    if checks.required(name, path.child("name"), errors):
        checks.dns_label(name, path.child("name"), errors)


def _validate_demand(request: Obj, path: Path, errors: ErrorList) -> None:
    where = path.child("deviceClassName")
    if checks.required(request.get("deviceClassName"), where, errors):
        checks.dns_subdomain(request["deviceClassName"], where, errors)
    _validate_selectors(request, path, errors)
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
    tolerations = request.get("tolerations") or ()
    where = path.child("tolerations")
    validate_items(tolerations, _TOLERATIONS_MAX, where, errors, validate_toleration)


def _validate_selectors(owner: Obj, path: Path, errors: ErrorList) -> None:
    selectors = owner.get("selectors") or ()
    where = path.child("selectors")
    validate_items(selectors, _SELECTORS_MAX, where, errors, _validate_selector)


def _validate_selector(selector: Obj, path: Path, errors: ErrorList) -> None:
    if selector.get("cel") is None:
        errors.required(path.child("cel"))
        return
    expression, where = selector["cel"].get("expression"), path.child("cel", "expression")
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
    configs = spec.get("config") or ()
    validate_items(configs, CONFIGS_MAX, _SPEC.child("config"), errors, validate_configuration)
    name = spec.get("extendedResourceName")
    if name is not None and not is_extended(name):
        where = _SPEC.child("extendedResourceName")
        errors.invalid(where, name, "must be a valid extended resource name")
