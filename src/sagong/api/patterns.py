"""Regular expressions as Go has them, by RE2: time is linear in the text, whatever the pattern.

``google-re2`` binds the C++ library whose syntax Go's ``regexp`` shares; it has wheels for x86-64
and arm64. Import this where a pattern is met: loading it takes ten milliseconds.
"""

import re
from functools import lru_cache
from typing import Any

import re2

# Compiled patterns kept; those of one definition or program are few.
PATTERNS_MAX = 512
# What one pattern may use of memory; past it the pattern is refused (RE2's own default).
PATTERN_BYTES_MAX = 8 << 20

# RE2's words for a problem, and Go's.
_IN_GO = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid repetition size": "invalid repeat count",
    "invalid named capture group": "invalid named capture",
    "trailing \\": "trailing backslash at end of expression",
}
_PROBLEM = re.compile(r"(.*?): (.*)", re.DOTALL)


class BadPattern(ValueError):
    """The text is no regular expression; the message is Go's."""


def problem_of(pattern: str) -> str:
    """Why a pattern is none; nothing if it is one."""
    try:
        compiled(pattern)
    except BadPattern as error:
        return str(error)
    return ""


@lru_cache(maxsize=PATTERNS_MAX)
def compiled(pattern: str) -> Any:
    """The compiled pattern. Raises BadPattern."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_BYTES_MAX
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        raise BadPattern(f"error parsing regexp: {_in_go(error)}") from None


def _in_go(error: Exception) -> str:
    raw = error.args[0] if error.args else str(error)
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
    match = _PROBLEM.fullmatch(text)
    problem, where = (text, "") if match is None else match.groups()
    return f"{_IN_GO.get(problem, problem)}: `{where}`"
