"""Regular expressions in expressions; RE2 is loaded when the first is met."""

from typing import Any

from sagong.api.cel.errors import EvaluationError


def compiled(pattern: str) -> Any:
    """The compiled pattern. Raises EvaluationError."""
    from sagong.api import patterns

    try:
        return patterns.compiled(pattern)
    except patterns.BadPattern as error:
        raise EvaluationError(str(error)) from None


def matches(text: str, pattern: str) -> bool:
    """Is the pattern found anywhere in the text?"""
    return compiled(pattern).search(text) is not None
