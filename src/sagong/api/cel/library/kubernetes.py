"""The functions that Kubernetes' environments have in common, put together once."""

from functools import lru_cache

from sagong.api.cel.declarations import Overload, merged
from sagong.api.cel.library import (
    addresses,
    authorizer,
    formats,
    json_patch,
    lists,
    optionals,
    quantities,
    regex,
    semver,
    sets,
    standard,
    strings,
    urls,
)

_LIBRARIES = (
    standard, optionals, strings, lists, regex, urls, quantities, addresses, formats, semver, sets,
    json_patch, authorizer,
)  # fmt: skip


@lru_cache(maxsize=1)
def kubernetes_functions() -> dict[str, tuple[Overload, ...]]:
    """Everything that an expression may call in Kubernetes 1.36."""
    return merged(*(library.functions() for library in _LIBRARIES))
