"""Bootstrap tokens as secrets in kube-system, in the words that their controllers share. Pure."""

import base64
import binascii

from sagong.api.meta import is_deleting, name_of, namespace_of
from sagong.api.types import Obj
from sagong.core.clock import parse_time

NAMESPACE = "kube-system"
PREFIX = "bootstrap-token-"
TYPE = "bootstrap.kubernetes.io/token"


def is_token(secret: Obj) -> bool:
    return secret.get("type") == TYPE and namespace_of(secret) == NAMESPACE


def read(secret: Obj, name: str) -> str:
    """A field of the secret's data; "" if it is not there or no text."""
    try:
        encoded = (secret.get("data") or {}).get(name) or ""
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def expires(secret: Obj) -> float | None:
    """When the token ends (seconds since the epoch); None: never. What is no time has ended."""
    text = read(secret, "expiration")
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError:
        return 0.0


def signing_key(secret: Obj, now: float) -> tuple[str, str] | None:
    """Id and secret of a token that signs; None if it does not, or not any more."""
    token_id, token_secret = read(secret, "token-id"), read(secret, "token-secret")
    end = expires(secret)
    good = (
        is_token(secret)
        and not is_deleting(secret)
        and bool(token_id and token_secret)
        and name_of(secret) == PREFIX + token_id
        and (end is None or end > now)
        and read(secret, "usage-bootstrap-signing") == "true"
    )
    return (token_id, token_secret) if good else None
