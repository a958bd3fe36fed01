"""The CEL of authentication: expressions over ``claims``, and over the ``user`` made of them."""

from sagong.api.cel.admission_types import USER_INFO
from sagong.api.cel.types import DYN, STRING, map_of
from sagong.server.expressions import Expression, compiled


def compile_expression(text: str, *, of_user: bool = False) -> Expression:
    """See ``claims.Compile``. Raises BadExpression."""
    return compiled(text, {"user": USER_INFO} if of_user else {"claims": map_of(STRING, DYN)})
