"""Priority level configurations: how many requests of a kind run at once."""

import math

from sagong.api.meta import deep_copy
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.bootstrap.policy.flow_control import PRIORITY_LEVELS
from sagong.server.kinds.flowcontrol.flow_schema import validate_status_update
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("limited") is not None:
        _default_limited(spec["limited"])
    if spec.get("exempt") is not None:
        for name in ("nominalConcurrencyShares", "lendablePercent"):
            if spec["exempt"].get(name) is None:
                spec["exempt"][name] = 0
    obj.setdefault("status", {})


def _default_limited(limited: Obj) -> None:
    if limited.get("nominalConcurrencyShares") is None:
        limited["nominalConcurrencyShares"] = 30
    if limited.get("lendablePercent") is None:
        limited["lendablePercent"] = 0
    queuing = limited.setdefault("limitResponse", {}).get("queuing")
    if queuing is not None:
        for name, value in (("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)):
            if not queuing.get(name):
                queuing[name] = value


_SPEC = Path("spec")
_QUEUES_MAX = 10_000_000
_HASH_BITS_MAX = 60  # what shuffle sharding has to deal hands with


def validate(obj: Obj, errors: ErrorList) -> None:
    spec = obj["spec"]
    type_ = spec.get("type") or ""
    name = obj["metadata"].get("name") or ""
    if (name == "exempt") != (type_ == "Exempt"):
        message = "type must be 'Exempt' if and only if `name` is 'exempt'"
        errors.invalid(_SPEC.child("type"), type_, message)
    limited, exempt = spec.get("limited"), spec.get("exempt")
    if type_ == "Exempt":
        if limited is not None:
            message = "must be nil if the type is not Limited"
            errors.forbidden(_SPEC.child("limited"), message)
        _validate_shares(exempt or {}, _SPEC.child("exempt"), errors)
    elif type_ == "Limited":
        if exempt is not None:
            errors.forbidden(_SPEC.child("exempt"), "must be nil if the type is Limited")
        if limited is None:
            errors.required(_SPEC.child("limited"), "must not be empty when type is Limited")
        else:
            _validate_limited(limited, _SPEC.child("limited"), errors)
    else:
        errors.not_supported(_SPEC.child("type"), type_, ["Exempt", "Limited"])
    _validate_mandatory(spec, name, errors)


def _validate_mandatory(spec: Obj, name: str, errors: ErrorList) -> None:
    """The levels that must be are as they must be, but for what an exempt one lends."""
    if name not in ("exempt", "catch-all"):
        return
    fixed = {"spec": deep_copy(PRIORITY_LEVELS[name])}
    default(fixed)
    wanted, found = fixed["spec"], spec
    but = ""
    if name == "exempt":
        but = " except the 'spec.exempt' fields"
        wanted, found = ({k: v for k, v in s.items() if k != "exempt"} for s in (wanted, found))
    if found != wanted:
        errors.invalid(_SPEC, spec, f"spec of '{name}'{but} must equal the fixed value")


def _validate_shares(part: Obj, path: Path, errors: ErrorList) -> None:
    shares = part.get("nominalConcurrencyShares")
    if shares is not None and shares < 0:
        where = path.child("nominalConcurrencyShares")
        errors.invalid(where, shares, "must be a non-negative integer")
    lendable = part.get("lendablePercent")
    if lendable is not None and not 0 <= lendable <= 100:
        message = "must be between 0 and 100, inclusive"
        errors.invalid(path.child("lendablePercent"), lendable, message)


def _validate_limited(limited: Obj, path: Path, errors: ErrorList) -> None:
    _validate_shares(limited, path, errors)
    _validate_response(limited.get("limitResponse") or {}, path.child("limitResponse"), errors)
    borrowed = limited.get("borrowingLimitPercent")
    if borrowed is not None and borrowed < 0:
        message = "if specified, must be a non-negative integer"
        errors.invalid(path.child("borrowingLimitPercent"), borrowed, message)


def _validate_response(response: Obj, path: Path, errors: ErrorList) -> None:
    type_, queuing = response.get("type") or "", response.get("queuing")
    where = path.child("queuing")
    if type_ == "Reject":
        if queuing is not None:
            errors.forbidden(where, "must be nil if limited.limitResponse.type is not Limited")
    elif type_ == "Queue":
        if queuing is None:
            message = "must not be empty if limited.limitResponse.type is Limited"
            errors.required(where, message)
        else:
            _validate_queuing(queuing, where, errors)
    else:
        errors.not_supported(path.child("type"), type_, ["Queue", "Reject"])


def _validate_queuing(queuing: Obj, path: Path, errors: ErrorList) -> None:
    length, queues = queuing.get("queueLengthLimit") or 0, queuing.get("queues") or 0
    hand, where = queuing.get("handSize") or 0, path.child("handSize")
    if length <= 0:
        errors.invalid(path.child("queueLengthLimit"), length, "must be positive")
    if queues <= 0:
        errors.invalid(path.child("queues"), queues, "must be positive")
    elif queues > _QUEUES_MAX:
        errors.invalid(path.child("queues"), queues, f"must not be greater than {_QUEUES_MAX}")
    if hand <= 0:
        errors.invalid(where, hand, "must be positive")
    elif hand > queues:
        errors.invalid(where, hand, f"should not be greater than queues ({queues})")
    elif math.ceil(math.log2(queues) * hand) > _HASH_BITS_MAX:
        message = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be "
            f"greater than {_HASH_BITS_MAX}"
        )
        errors.invalid(where, hand, message)


STRATEGY = Strategy(
    validate=validate,
    validate_status_update=validate_status_update,
    default=default,
    has_generation=True,
)
