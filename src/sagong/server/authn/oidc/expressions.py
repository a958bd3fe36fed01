"""The CEL of authentication: expressions over ``claims``, and over the ``user`` made of them.

Imported only when the configuration has expressions.
"""

from collections.abc import Mapping
from typing import Any

from sagong.api.cel.admission_types import USER_INFO
from sagong.api.cel.environment import Environment, Program
from sagong.api.cel.errors import CelError, CompileError
from sagong.api.cel.library.kubernetes import kubernetes_functions
from sagong.api.cel.types import DYN, STRING, map_of
from sagong.server.authn.oidc.configuration import BadConfiguration


class _Evaluated:
    """A program whose failures are ValueErrors."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        try:
            return self._program.evaluate(variables)
        except CelError as error:
            raise ValueError(str(error)) from error


def compile_expression(text: str, *, of_user: bool = False) -> _Evaluated:
    """See ``claims.Compile``. Raises BadConfiguration."""
    variables = {"user": USER_INFO} if of_user else {"claims": map_of(STRING, DYN)}
    environment = Environment(functions=kubernetes_functions(), variables=variables)
    try:
        return _Evaluated(environment.compile(text))
    except CompileError as error:
        raise BadConfiguration(f"{text}: compilation failed: {error}") from error
