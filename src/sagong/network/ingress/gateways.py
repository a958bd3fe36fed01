"""What Gateways and their routes say is served. Pure.

Source of semantics: the published Gateway API. Of routes that take the same requests, the longer
path, then a method, then more headers, then more parameters, then the older route comes first.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sagong.api.gateway import (
    attach,
    is_granted,
    is_ours,
    kind_of,
    listener_secrets,
    parent_key,
)
from sagong.api.meta import key_of, name_of, namespace_of
from sagong.api.types import Obj
from sagong.core.durations import seconds
from sagong.network.ingress.grpc_routes import as_http_route
from sagong.network.ingress.ingresses import Cluster, servers_of
from sagong.network.ingress.model import (
    Backend,
    Certificate,
    Change,
    Choice,
    Condition,
    Match,
    Part,
    Redirect,
    Server,
    Site,
    Sites,
)

WEIGHT_MAX = 256  # haproxy's; larger ones are scaled down
_CHANGES = {
    "RequestHeaderModifier": ("requestHeaderModifier", "REQUEST"),
    "ResponseHeaderModifier": ("responseHeaderModifier", "ANSWER"),
}


@dataclass(frozen=True, slots=True)
class Gateways:
    """The objects of the Gateway API, and the labels of namespaces by name."""

    classes: Sequence[Obj]
    gateways: Sequence[Obj]
    routes: Sequence[Obj]
    grants: Sequence[Obj]
    namespaces: Mapping[str, Mapping[str, str]]
    grpc_routes: Sequence[Obj] = ()

    def ours(self) -> list[Obj]:
        return [g for g in self.gateways if is_ours(g, self.classes)]


@dataclass(frozen=True, slots=True)
class _Taken:
    """A choice at a listener's port, with what decides who comes first."""

    port: tuple[int, bool]
    match: Match
    choice: Choice
    rank: tuple[object, ...]


def plan_gateways(seen: Gateways, cluster: Cluster) -> Sites:
    """What is served for the gateways that are ours."""
    gateways = {(namespace_of(g), name_of(g)): g for g in seen.ours()}
    taken: list[_Taken] = []
    for route in (*seen.routes, *map(as_http_route, seen.grpc_routes)):
        for parent in route["spec"].get("parentRefs") or ():
            gateway = gateways.get(parent_key(route, parent) or ("", ""))
            if gateway is not None:
                taken += _of_route(route, parent, gateway, seen, cluster)
    sites: Sites = {}
    for gateway in gateways.values():
        for listener in gateway["spec"].get("listeners") or ():
            sites |= _opened(sites, gateway, listener, seen, cluster)
    for item in sorted(taken, key=lambda item: item.rank):
        routes = sites[item.port].routes
        routes[item.match] = (*routes.get(item.match, ()), item.choice)
    # A choice without conditions takes what is left: those behind it are never asked.
    for site in sites.values():
        for where, choices in site.routes.items():
            site.routes[where] = tuple(_until_unconditional(choices))
    return sites


def merged(first: Sites, second: Sites) -> Sites:
    """Both; of the same match on a port the first has it."""
    found = dict(first)
    for port, site in second.items():
        known = found.get(port, Site())
        names = {certificate.name for certificate in known.certificates}
        more = (c for c in site.certificates if c.name not in names)
        found[port] = Site(
            {**site.routes, **known.routes},
            known.default or site.default,
            (*known.certificates, *more),
        )
    return found


def _until_unconditional(choices: Iterable[Choice]) -> Iterator[Choice]:
    for choice in choices:
        yield choice
        if not choice.conditions:
            return


def _port(listener: Obj) -> tuple[int, bool]:
    return listener["port"], listener["protocol"] == "HTTPS"


def _opened(sites: Sites, gateway: Obj, listener: Obj, seen: Gateways, cluster: Cluster) -> Sites:
    """A listener's port with its certificates, beside what others have on the port."""
    if listener.get("protocol") not in ("HTTP", "HTTPS"):
        return {}
    site = sites.get(_port(listener), Site())
    certificates = list(site.certificates)
    hosts = (listener["hostname"],) if listener.get("hostname") else ()
    for namespace, name in listener_secrets(gateway, listener):
        granted = is_granted(
            seen.grants,
            kind="Gateway",
            namespace=namespace_of(gateway),
            to=("Secret", namespace, name),
        )
        if granted and (namespace, name) in cluster.pairs:
            label = f"{namespace}_{name}_{listener['name']}"
            certificates.append(Certificate(label, cluster.pairs[namespace, name], hosts))
    return {_port(listener): Site(site.routes, None, tuple(certificates))}


def _of_route(
    route: Obj, parent: Obj, gateway: Obj, seen: Gateways, cluster: Cluster
) -> Iterator[_Taken]:
    attachment = attach(route, parent, gateway, seen.namespaces)
    age = (str(route["metadata"].get("creationTimestamp", "")), str(key_of(route)))
    for listener, hostnames in attachment.listeners:
        for number, rule in enumerate(route["spec"].get("rules") or ({},)):
            matches: Sequence[Obj] = rule.get("matches") or ({},)
            for match in matches:
                path, conditions = _conditions(match)
                backend = _backend(route, rule, path, seen, cluster)
                rank = (*_rank(match, conditions), *age, number)
                for hostname in hostnames:
                    # Wildcards of this API stand for any number of labels.
                    host = f"*{hostname}" if hostname.startswith("*") else hostname
                    at = Match(host, path.path, path.exact)
                    yield _Taken(_port(listener), at, Choice(backend, conditions), rank)


def _rank(match: Obj, conditions: tuple[Condition, ...]) -> tuple[object, ...]:
    parts = [condition.part for condition in conditions]
    return (
        -len((match.get("path") or {}).get("value") or "/"),
        Part.METHOD not in parts,
        -parts.count(Part.HEADER),
        -parts.count(Part.QUERY),
    )


def _conditions(match: Obj) -> tuple[Match, tuple[Condition, ...]]:
    path = match.get("path") or {}
    value, kind = path.get("value") or "/", path.get("type") or "PathPrefix"
    found: list[Condition] = []
    if match.get("method"):
        found.append(Condition(Part.METHOD, "", match["method"]))
    for part, field in ((Part.HEADER, "headers"), (Part.QUERY, "queryParams")):
        for wanted in match.get(field) or ():
            is_pattern = wanted.get("type") == "RegularExpression"
            text = f"^({wanted['value']})$" if is_pattern else wanted["value"]
            found.append(Condition(part, wanted["name"], text, is_pattern))
    if kind == "RegularExpression":
        found.append(Condition(Part.PATH, "", f"^({value})$", is_pattern=True))
        return Match("", "/"), tuple(found)
    plain = re.sub(r"\s", "", value)
    exact = kind == "Exact"
    return Match("", plain if exact else plain.rstrip("/") or "/", exact), tuple(found)


def _backend(route: Obj, rule: Obj, path: Match, seen: Gateways, cluster: Cluster) -> Backend:
    label = f"{namespace_of(route)}.{name_of(route)}"
    changes: list[tuple[Change, tuple[str, ...]]] = []
    for said in rule.get("filters") or ():
        if said["type"] == "RequestRedirect":
            return Backend(label, redirect=_redirect(said.get("requestRedirect") or {}, path))
        changes += _changes(said, path)
    servers = tuple(_servers(route, rule, seen, cluster))
    timeout = seconds((rule.get("timeouts") or {}).get("request") or "0")
    return Backend(label, servers, tuple(changes), timeout_seconds=timeout)


def _servers(route: Obj, rule: Obj, seen: Gateways, cluster: Cluster) -> Iterator[Server]:
    references = [r for r in rule.get("backendRefs") or () if r.get("weight", 1) > 0]
    heaviest = max((r.get("weight", 1) for r in references), default=1)
    scale = max(1.0, heaviest / WEIGHT_MAX)
    for reference in references:
        namespace = reference.get("namespace") or namespace_of(route)
        to = (reference.get("kind", "Service"), namespace, reference["name"])
        granted = is_granted(seen.grants, kind=kind_of(route), namespace=namespace_of(route), to=to)
        if to[0] == "Service" and granted:
            weight = max(1, round(reference.get("weight", 1) / scale))
            port = {"number": reference.get("port")}
            for server in servers_of(cluster, namespace, reference["name"], port, weight):
                is_grpc = kind_of(route) == "GRPCRoute"
                yield replace(server, http2=True) if is_grpc else server


def _changes(said: Obj, path: Match) -> Iterator[tuple[Change, tuple[str, ...]]]:
    if said["type"] == "URLRewrite":
        rewrite = said.get("urlRewrite") or {}
        if rewrite.get("hostname"):
            yield Change.SET_REQUEST_HEADER, ("Host", rewrite["hostname"])
        new = rewrite.get("path") or {}
        if new.get("type") == "ReplaceFullPath":
            yield Change.SET_PATH, (new.get("replaceFullPath") or "/",)
        elif new.get("type") == "ReplacePrefixMatch":
            yield Change.REPLACE_PREFIX, (path.path, new.get("replacePrefixMatch") or "/")
        return
    if said["type"] not in _CHANGES:
        return
    field, side = _CHANGES[said["type"]]
    modifier = said.get(field) or {}
    for verb in ("set", "add"):
        for header in modifier.get(verb) or ():
            yield Change[f"{verb.upper()}_{side}_HEADER"], (header["name"], header["value"])
    for name in modifier.get("remove") or ():
        yield Change[f"DROP_{side}_HEADER"], (name,)


def _redirect(said: Obj, path: Match) -> Redirect:
    new = said.get("path") or {}
    is_prefix = new.get("type") == "ReplacePrefixMatch"
    return Redirect(
        status=said.get("statusCode") or 302,
        scheme=said.get("scheme") or "",
        host=said.get("hostname") or "",
        port=said.get("port") or 0,
        path=(new.get("replaceFullPath") or "") if not is_prefix else "",
        prefix=(path.path, new.get("replacePrefixMatch") or "/") if is_prefix else None,
    )
