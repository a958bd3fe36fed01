"""A broken invariant stops the component; it is not an error to handle."""

from typing import Any


class InvariantViolation(BaseException):
    """Derived from BaseException so that no supervised ``except Exception`` goes on past it."""


def invariant(condition: bool, message: str, **facts: Any) -> None:
    """Raise InvariantViolation with the facts unless the condition holds."""
    if not condition:
        raise InvariantViolation(f"{message}: {facts}" if facts else message)
