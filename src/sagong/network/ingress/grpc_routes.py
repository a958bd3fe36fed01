"""A GRPCRoute in the words of an HTTPRoute. Pure.

A call of a method is a request for ``/<service>/<method>``; the headers of a call are a request's.
"""

import re
from collections.abc import Sequence

from sagong.api.types import Obj

_ANY = "[^/]+"


def as_http_route(route: Obj) -> Obj:
    """It keeps its kind, by which the rest knows that its servers speak HTTP/2."""
    given: Sequence[Obj] = route["spec"].get("rules") or ({},)
    rules = [{**rule, "matches": _matches(rule)} for rule in given]
    return {**route, "kind": "GRPCRoute", "spec": {**route["spec"], "rules": rules}}


def _matches(rule: Obj) -> list[Obj]:
    given: Sequence[Obj] = rule.get("matches") or ({},)
    return [
        {"path": _path(match.get("method") or {}), "headers": match.get("headers") or []}
        for match in given
    ]


def _path(wanted: Obj) -> Obj:
    service, method = wanted.get("service") or "", wanted.get("method") or ""
    if wanted.get("type") == "RegularExpression":
        return _pattern(service or _ANY, method or _ANY)
    if service and method:
        return {"type": "Exact", "value": f"/{service}/{method}"}
    if method:
        return _pattern(_ANY, re.escape(method))
    return {"type": "PathPrefix", "value": f"/{service}"}


def _pattern(service: str, method: str) -> Obj:
    return {"type": "RegularExpression", "value": f"/{service}/{method}"}
