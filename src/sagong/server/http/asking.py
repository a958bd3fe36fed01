"""What a request asks for, before it is routed: for those who decide how it is to be treated."""

from collections.abc import Callable

from sagong.server.aggregation.asking import asked_of as asked_by_path
from sagong.server.authz.interface import Attributes
from sagong.server.http import query
from sagong.server.http.exchange import Exchange
from sagong.server.http.targets import Target, verb_of

# What a path names, remembered.
FindTarget = Callable[[str], Target | None]

_LASTING = frozenset(("attach", "exec", "log", "portforward", "proxy"))


def asked_of(exchange: Exchange, find: FindTarget) -> Attributes:
    """The request as authorisation will see it."""
    user, method = exchange.user, exchange.method
    target = find(exchange.path)
    if target is not None and target.resource is None and exchange.path.startswith("/apis/"):
        # An extension's, as far as the path tells.
        return asked_by_path(exchange.path, method, query.parse(exchange.query), user)
    if target is None or target.resource is None:
        return Attributes(user, method.lower(), path=exchange.path, is_resource=False)
    watch = False
    if "watch" in exchange.query:
        watch = query.is_true(query.parse(exchange.query).get("watch"))
    verb = verb_of(method, target, watch=watch)
    resource = target.resource
    return Attributes(
        user,
        verb.value if verb else method.lower(),
        group=resource.group,
        version=resource.version,
        resource=resource.plural,
        subresource=target.subresource,
        namespace=target.namespace or "",
        name=target.name,
    )


def is_lasting(exchange: Exchange) -> bool:
    """Does the request go on for as long as its client likes?"""
    return is_watch(exchange) or "follow=" in exchange.query or _takes_over(exchange.path)


def is_watch(exchange: Exchange) -> bool:
    return "watch=" in exchange.query or "/watch/" in exchange.path


def _takes_over(path: str) -> bool:
    parts = path.split("/")
    return parts[-1] in _LASTING or "proxy" in parts
