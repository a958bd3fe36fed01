"""Priority level configurations: how many requests of a kind run at once."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
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
_MANDATORY = {"exempt": "Exempt", "catch-all": "Limited"}


def validate(obj: Obj, errors: ErrorList) -> None:
    spec = obj["spec"]
    type_ = spec.get("type") or ""
    name = obj["metadata"].get("name") or ""
    if name in _MANDATORY and type_ != _MANDATORY[name]:
        message = f"type must be '{_MANDATORY[name]}' if and only if `name` is '{name}'"
        errors.invalid(_SPEC.child("type"), type_, message)
    if not checks.one_of(type_, ("Exempt", "Limited"), _SPEC.child("type"), errors):
        return
    wanted, other = ("exempt", "limited") if type_ == "Exempt" else ("limited", "exempt")
    if spec.get(other) is not None:
        message = f"must be nil if the type is {type_}"
        errors.forbidden(_SPEC.child(other), message)
    part = spec.get(wanted)
    if part is None:
        if wanted == "limited":
            errors.required(_SPEC.child("limited"), "must not be empty when type is Limited")
        return
    at = _SPEC.child(wanted)
    shares = part.get("nominalConcurrencyShares")
    checks.not_negative(shares, at.child("nominalConcurrencyShares"), errors)
    lendable = part.get("lendablePercent")
    if lendable is not None and not 0 <= lendable <= 100:
        message = "must be between 0 and 100, inclusive"
        errors.invalid(at.child("lendablePercent"), lendable, message)
    if wanted == "limited":
        _validate_response(part.get("limitResponse") or {}, at.child("limitResponse"), errors)


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
            return
        for field in ("queueLengthLimit", "queues", "handSize"):
            value = queuing.get(field) or 0
            if value <= 0:
                errors.invalid(where.child(field), value, "must be positive")
        if (queuing.get("handSize") or 0) > (queuing.get("queues") or 0):
            message = f"should not be greater than queues ({queuing.get('queues')})"
            errors.invalid(where.child("handSize"), queuing.get("handSize"), message)
    else:
        errors.not_supported(path.child("type"), type_, ["Queue", "Reject"])


STRATEGY = Strategy(validate=validate, default=default, has_generation=True)
