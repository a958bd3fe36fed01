"""Validation of probes and lifecycle hooks."""

from collections.abc import Callable, Mapping

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks

_SCHEMES = ("HTTP", "HTTPS")
_COUNTS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)


def validate_probes(container: Obj, path: Path, errors: ErrorList) -> None:
    """The three probes of one container."""
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        at = path.child(name)
        _validate_probe(probe, at, errors)
        grace = probe.get("terminationGracePeriodSeconds")
        if name == "readinessProbe":
            if grace is not None:
                where = at.child("terminationGracePeriodSeconds")
                errors.invalid(where, grace, "must not be set for readinessProbes")
        elif probe.get("successThreshold") != 1:
            where = at.child("successThreshold")
            errors.invalid(where, probe.get("successThreshold") or 0, "must be 1")


def _validate_probe(probe: Obj, path: Path, errors: ErrorList) -> None:
    validate_handler(probe, path, errors, grace_seconds=None)
    for name in _COUNTS:
        checks.not_negative(probe.get(name), path.child(name), errors)
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        where = path.child("terminationGracePeriodSeconds")
        errors.invalid(where, grace, "must be greater than 0")


def validate_lifecycle(
    lifecycle: Obj, path: Path, errors: ErrorList, *, grace_seconds: int
) -> None:
    for name in ("postStart", "preStop"):
        if lifecycle.get(name) is not None:
            validate_handler(lifecycle[name], path.child(name), errors, grace_seconds=grace_seconds)


def validate_handler(
    handler: Obj, path: Path, errors: ErrorList, *, grace_seconds: int | None
) -> None:
    """Exactly one action. ``grace_seconds`` bounds a hook's sleep; probes cannot sleep."""
    count = 0
    for name, validate in _ACTIONS.items():
        action = handler.get(name)
        if action is None:
            continue
        if count:
            errors.forbidden(path.child(name), "may not specify more than 1 handler type")
            continue
        count += 1
        validate(action, path.child(name), errors)
    if handler.get("sleep") is not None and grace_seconds is not None:
        if count:
            errors.forbidden(path.child("sleep"), "may not specify more than 1 handler type")
        else:
            _validate_sleep(handler["sleep"], path.child("sleep"), grace_seconds, errors)
        count += 1
    if count == 0:
        errors.required(path, "must specify a handler type")


def _validate_sleep(sleep: Obj, path: Path, grace_seconds: int, errors: ErrorList) -> None:
    seconds = sleep.get("seconds") or 0
    if seconds < 0 or seconds > grace_seconds:
        message = (
            f"must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})"
        )
        errors.invalid(path, seconds, message)


def _exec(action: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(action.get("command"), path.child("command"), errors)


def _http_get(action: Obj, path: Path, errors: ErrorList) -> None:
    checks.required(action.get("path"), path.child("path"), errors)
    checks.port_or_name(action.get("port", 0), path.child("port"), errors)
    checks.one_of(action.get("scheme", ""), _SCHEMES, path.child("scheme"), errors)
    for header in action.get("httpHeaders") or ():
        name = header.get("name") or ""
        checks.name(name, names.http_header_name, path.child("httpHeaders"), errors)


def _tcp_socket(action: Obj, path: Path, errors: ErrorList) -> None:
    checks.port_or_name(action.get("port", 0), path.child("port"), errors)


def _grpc(action: Obj, path: Path, errors: ErrorList) -> None:
    checks.port_number(action.get("port", 0), path.child("port"), errors)


_ACTIONS: Mapping[str, Callable[[Obj, Path, ErrorList], None]] = {
    "exec": _exec,
    "httpGet": _http_get,
    "tcpSocket": _tcp_socket,
    "grpc": _grpc,
}
