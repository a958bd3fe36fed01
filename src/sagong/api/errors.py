"""API failures: a closed set, one class a Status reason (``metav1.StatusReason``).

    ApiError
    ├── BadRequest 400        ├── Conflict 409            ├── UnsupportedMediaType 415
    ├── Unauthorized 401      │   └── AlreadyExists 409   ├── Invalid 422
    ├── Forbidden 403         ├── Gone 410                ├── TooManyRequests 429
    ├── NotFound 404          │   └── Expired 410         ├── InternalError 500
    ├── MethodNotAllowed 405  ├── RequestEntityTooLarge   ├── ServiceUnavailable 503
    └── NotAcceptable 406     │   413                     └── Timeout 504, ServerTimeout 500

Each failure is one of these, carries a complete ``metav1.Status`` and crosses the client intact:
over HTTPS the body is decoded back into the same class. Messages follow apimachinery's
``api/errors``, to the letter.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from sagong.api.types import Obj


class ApiError(Exception):
    """A failure with its Status."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        details: Obj | None = None,
        code: int | None = None,
        metadata: Obj | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        # ListMeta of the Status; an expired list has a continue token in it.
        self.metadata = metadata or {}
        self.http_code = code if code is not None else self.code
        # What the Status says in place of the class's reason, where somebody else worded it.
        self.stated_reason: str | None = None

    def status(self) -> Obj:
        """The ``metav1.Status`` object."""
        status: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        reason = self.reason if self.stated_reason is None else self.stated_reason
        if reason:
            status["reason"] = reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.http_code
        return status

    @property
    def causes(self) -> Sequence[Obj]:
        return (self.details or {}).get("causes") or ()

    @property
    def retry_after_seconds(self) -> int | None:
        return (self.details or {}).get("retryAfterSeconds")


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"

    def __init__(self, message: str = "Unauthorized", **kwargs: Any) -> None:
        super().__init__(message, **kwargs)


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class AlreadyExists(Conflict):
    reason = "AlreadyExists"


class Gone(ApiError):
    code, reason = 410, "Gone"


class Expired(Gone):
    reason = "Expired"


class RequestEntityTooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    code, reason = 500, "InternalError"


class ServerTimeout(ApiError):
    code, reason = 500, "ServerTimeout"


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    code, reason = 504, "Timeout"


_BY_REASON: dict[str, type[ApiError]] = {
    c.reason: c
    for c in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, Conflict,
        AlreadyExists, Gone, Expired, RequestEntityTooLarge, UnsupportedMediaType, Invalid,
        TooManyRequests, InternalError, ServerTimeout, ServiceUnavailable, Timeout,
    )
}  # fmt: skip
_BY_CODE: dict[int, type[ApiError]] = {c.code: c for c in reversed(_BY_REASON.values())}


def from_status(status: Obj) -> ApiError:
    """The error that a ``metav1.Status`` of failure stands for."""
    code = int(status.get("code") or 500)
    cls = _BY_REASON.get(status.get("reason") or "") or _BY_CODE.get(code, ApiError)
    return cls(
        str(status.get("message", "")),
        details=status.get("details"),
        code=code,
        metadata=status.get("metadata"),
    )


def _details(group: str, kind: str, name: str) -> Obj:
    details: Obj = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    details["kind"] = kind
    return details


def _qualified(kind: str, group: str) -> str:
    return f"{kind}.{group}" if group else kind


def not_found(group: str, plural: str, name: str) -> NotFound:
    message = f'{_qualified(plural, group)} "{name}" not found'
    return NotFound(message, details=_details(group, plural, name))


def already_exists(group: str, plural: str, name: str) -> AlreadyExists:
    message = f'{_qualified(plural, group)} "{name}" already exists'
    return AlreadyExists(message, details=_details(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str) -> Conflict:
    message = f'Operation cannot be fulfilled on {_qualified(plural, group)} "{name}": {why}'
    return Conflict(message, details=_details(group, plural, name))


def forbidden(group: str, plural: str, name: str, why: str) -> Forbidden:
    """As ``errors.NewForbidden``; without a name the message has none."""
    subject = f'{_qualified(plural, group)} "{name}"' if name else _qualified(plural, group)
    return Forbidden(f"{subject} is forbidden: {why}", details=_details(group, plural, name))


def unknown_resource() -> NotFound:
    """What a path that no resource serves is answered."""
    return NotFound("the server could not find the requested resource", details={})


def invalid(group: str, kind: str, name: str, causes: Sequence[Obj]) -> Invalid:
    """A validation failure; causes are ``{"reason","message","field"}`` in order.

    One cause is spelt out, several are joined in brackets, as ``field.ErrorList.ToAggregate``;
    equal texts appear once in the message.
    """
    texts = list(dict.fromkeys(f"{c['field']}: {c['message']}" for c in causes))
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details = _details(group, kind, name) | {"causes": list(causes)}
    return Invalid(f'{_qualified(kind, group)} "{name}" is invalid: {joined}', details=details)
