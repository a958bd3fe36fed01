"""What CEL refuses with.

CelError
├── CompileError    the text cannot be compiled; ``issues`` say where and why
├── Unfit           the same, or of a wrong type, in the words of validation
├── EvaluationError the expression failed on its input
└── CostExceeded    evaluation was cut off: never absorbed by ``||``, ``&&`` or macros
"""

from collections.abc import Sequence
from dataclasses import dataclass

COST_EXCEEDED = "operation cancelled: actual cost limit exceeded"
ISSUES_MAX = 100  # cel-go's error reporting limit: what follows is noise


class CelError(Exception):
    """Anything that is wrong with an expression or its evaluation."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One problem at an offset (in code points) of the source; -1: nowhere in particular."""

    offset: int
    message: str


class CompileError(CelError):
    def __init__(self, text: str, issues: Sequence[Issue]) -> None:
        self.issues = tuple(sorted(issues, key=lambda issue: issue.offset))
        super().__init__("\n".join(_display(text, issue) for issue in self.issues[:ISSUES_MAX]))


class Unfit(CelError):
    """An expression is not of use where it stands: it does not compile, or is of another type."""


class EvaluationError(CelError):
    """The message is cel-go's: ``no such key: replicas``, ``division by zero``, ..."""


class CostExceeded(CelError):
    def __init__(self) -> None:
        super().__init__(COST_EXCEEDED)


def no_such_overload() -> EvaluationError:
    return EvaluationError("no such overload")


def _display(text: str, issue: Issue) -> str:
    """An issue with the line it concerns, as cel-go's ``Error.ToDisplayString``."""
    if issue.offset < 0:
        return f"ERROR: <input>:-1:0: {issue.message}"
    before = text[: issue.offset]
    line, column = before.count("\n"), issue.offset - (before.rfind("\n") + 1)
    shown = text.split("\n")[line].replace("\t", " ")
    # A character that takes two columns is pointed at with wide dots.
    dots = "".join("．" if ord(char) > 127 else "." for char in shown[:column])
    wide = column < len(shown) and ord(shown[column]) > 127
    mark = dots + ("＾" if wide else "^")
    return f"ERROR: <input>:{line + 1}:{column + 1}: {issue.message}\n | {shown}\n | {mark}"
