"""CEL in the server's own configuration files: authentication's mappings, match conditions.

Imported only when a file has expressions: CEL is large.
"""

from collections.abc import Mapping
from typing import Any

from sagong.api.cel.environment import Environment, Program
from sagong.api.cel.errors import CelError, CompileError
from sagong.api.cel.library.kubernetes import kubernetes_functions
from sagong.api.cel.types import Type


class BadExpression(ValueError):
    """It does not compile; the message says where and why."""


class Expression:
    """A compiled expression whose failures are ValueErrors."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """The value. Raises ValueError."""
        try:
            return self._program.evaluate(variables)
        except CelError as error:
            raise ValueError(str(error)) from error


def compiled(text: str, variables: Mapping[str, Type]) -> Expression:
    """Raises BadExpression."""
    environment = Environment(functions=kubernetes_functions(), variables=variables)
    try:
        return Expression(environment.compile(text))
    except CompileError as error:
        raise BadExpression(f"{text}: compilation failed: {error}") from error
