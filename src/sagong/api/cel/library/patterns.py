"""Regular expressions, by RE2: time is linear in the text, whatever the pattern.

``google-re2`` binds the C++ library whose syntax Go's ``regexp`` shares; it has wheels for x86-64
and arm64. Loaded when a pattern is first used.
"""

from functools import lru_cache
from typing import Any

from sagong.api.cel.errors import EvaluationError

# Compiled patterns kept; a program's constant patterns are few.
PATTERNS_MAX = 512
# What one pattern may use of memory; past it the pattern is refused (RE2's own default is 8 MiB).
PATTERN_BYTES_MAX = 8 << 20


def problem_of(pattern: str) -> str:
    """Why a pattern is none, in the words of Go's ``regexp``; nothing if it is one."""
    try:
        compiled(pattern)
    except EvaluationError as error:
        return str(error)
    return ""


@lru_cache(maxsize=PATTERNS_MAX)
def compiled(pattern: str) -> Any:
    """The compiled pattern. Raises EvaluationError."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_BYTES_MAX
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        raise EvaluationError(f"error parsing regexp: {_in_go(error)}") from None


def _in_go(error: Exception) -> str:
    raw = error.args[0] if error.args else str(error)
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)


def matches(text: str, pattern: str) -> bool:
    """Is the pattern found anywhere in the text?"""
    return compiled(pattern).search(text) is not None
