"""Leases."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.strategy import Strategy


def default(lease: Obj) -> None:
    lease.setdefault("spec", {})


def validate(lease: Obj, errors: ErrorList) -> None:
    spec, path = lease.get("spec") or {}, Path("spec")
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        where = path.child("leaseDurationSeconds")
        errors.invalid(where, seconds, "must be greater than 0")
    checks.not_negative(spec.get("leaseTransitions"), path.child("leaseTransitions"), errors)
    if spec.get("preferredHolder") and not spec.get("strategy"):
        message = "may only be specified if `strategy` is defined"
        errors.forbidden(path.child("preferredHolder"), message)


STRATEGY = Strategy(
    validate=validate,
    default=default,
    has_status=False,
    create_on_update=True,
    unconditional_update=False,
)
