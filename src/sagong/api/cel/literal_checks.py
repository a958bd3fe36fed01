"""Literals that a function will never accept are refused when an expression is compiled.

cel-go's ``ValidateDurationLiterals``, ``ValidateTimestampLiterals`` and ``ValidateRegexLiterals``.
"""

from collections.abc import Callable, Iterator, Mapping

from sagong.api.cel.ast import Call, Const, Expr
from sagong.api.cel.errors import EvaluationError, Issue
from sagong.api.cel.library.patterns import compiled
from sagong.api.cel.times import duration_of, timestamp_of

_CHECKS: Mapping[tuple[str, bool], Callable[[str], object]] = {
    ("duration", False): duration_of,
    ("timestamp", False): timestamp_of,
    ("matches", True): compiled,
}


def literal_issues(tree: Expr) -> list[Issue]:
    """What is wrong with the literal arguments of calls."""
    return list(_issues(tree))


def _issues(node: Expr) -> Iterator[Issue]:
    if isinstance(node, Call) and node.args:
        check = _CHECKS.get((node.function, node.target is not None))
        given = node.args[0]
        if check is not None and isinstance(given, Const) and isinstance(given.value, str):
            try:
                check(given.value)
            except (ValueError, EvaluationError):
                yield Issue(given.pos, f"invalid {node.function} argument")
    for child in node.children():
        yield from _issues(child)
