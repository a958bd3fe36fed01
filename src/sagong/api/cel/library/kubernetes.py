"""The functions that Kubernetes' environments have in common, put together once."""

from functools import lru_cache

from sagong.api.cel.declarations import Overload, merged
from sagong.api.cel.library import authorizer, standard


@lru_cache(maxsize=1)
def kubernetes_functions() -> dict[str, tuple[Overload, ...]]:
    """The base environment of Kubernetes 1.36 and the authorizer library."""
    return merged(*(library.functions() for library in (standard, authorizer)))
