"""The proxy's files for what is served. Pure.

A request's host and path are looked up in two maps (exact paths, prefixes), for its host, then for
the wildcards of its host, then for no host: so many look-ups however many routes there are. Entries
of the prefix map end in a slash, as does what is looked up: the longest entry is then the longest
prefix of whole elements. What is found is a backend, or a group of choices that look at more of the
request; those of less specific matches stand behind a group's own.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sagong.api.address_ranges import is_address
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

CONFIG = "haproxy.cfg"
GROUP = "group-"
NOT_FOUND = "not-found"
WILDCARD_LABELS_MAX = 10  # that "**" stands for; hosts with more are not met by such wildcards
_NEXT_LABEL = "next label"
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where Ingresses are served on the node; "" is every address."""

    http: int = 80
    https: int = 443
    address: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the configuration depends on beside what is served."""

    directory: Path
    ports: Ports
    resolver: str  # address and port of the cluster's name server, "" without one
    user: str = ""  # whom the workers run as; "" stays root
    has_ipv6: bool = False  # whether the node has addresses of it


def plan_files(sites: Sites, where: Surroundings) -> Mapping[str, bytes]:
    """Every file below the directory, by name."""
    files: dict[str, bytes] = {}
    sections = [_global(where), _DEFAULTS, *_resolvers(where)]
    backends: dict[str, Backend] = {}
    for (port, is_tls), site in sorted(sites.items(), key=lambda item: item[0]):
        if is_tls and not site.certificates:
            continue  # nobody could be answered
        groups = _groups(site)
        sections.append(_frontend(port, site, groups, where, is_tls=is_tls))
        sections.append(_not_found(port, site, where))
        files[f"exact-{port}.map"] = _map(site, groups, exact=True).encode()
        files[f"prefix-{port}.map"] = _map(site, groups, exact=False).encode()
        files |= {_file_of(certificate): certificate.pem for certificate in site.certificates}
        if is_tls:
            listed = _certificate_list(site.certificates, where.directory)
            files[f"certificates-{port}.list"] = listed.encode()
        for choices in (*site.routes.values(), *groups.values()):
            backends |= {choice.backend.name: choice.backend for choice in choices}
    sections += [_backend(backends[name], where, name) for name in sorted(backends)]
    files[CONFIG] = "\n".join(sections).encode()
    return files


def _global(where: Surroundings) -> str:
    lines = [
        "global",
        # Two a connection, if the system's limit is no lower: about 10,000 connections.
        "    fd-hard-limit 20000",
        "    hard-stop-after 10m",  # of what an earlier configuration still serves
        "    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets",
        "    tune.ssl.default-dh-param 2048",
    ]
    if where.user:
        lines += [f"    user {where.user}", f"    group {where.user}"]
    return "\n".join(lines) + "\n"


_DEFAULTS = """\
defaults
    mode http
    option forwardfor
    # One connection a request: the service proxy then spreads requests, and none goes to an
    # endpoint that has left.
    option http-server-close
    option redispatch
    retries 3
    retry-on conn-failure
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    timeout http-request 10s
    timeout http-keep-alive 60s
"""


def _resolvers(where: Surroundings) -> Iterator[str]:
    if where.resolver:
        yield f"resolvers cluster\n    nameserver dns {where.resolver}\n    hold valid 5s\n"


def _frontend(
    port: int,
    site: Site,
    groups: Mapping[str, tuple[Choice, ...]],
    where: Surroundings,
    *,
    is_tls: bool,
) -> str:
    tls = ""
    if is_tls:
        certificates = where.directory / f"certificates-{port}.list"
        tls = f" ssl strict-sni alpn h2,http/1.1 crt-list {certificates}"
    addresses = [f"{where.ports.address}:{port}"]
    if where.has_ipv6 and not where.ports.address:
        addresses.append(f":::{port} v6only")
    exact, prefix = (where.directory / f"{kind}-{port}.map" for kind in ("exact", "prefix"))
    lines = [
        f"frontend port-{port}",
        *(f"    bind {address}{tls}" for address in addresses),
        f"    http-request set-header X-Forwarded-Proto {'https' if is_tls else 'http'}",
        "    http-request set-header X-Forwarded-Host %[req.hdr(host)]",
        "    http-request set-header X-Real-IP %[src]",
        "    http-request set-var(txn.host) req.hdr(host),field(1,:),lower",
        "    http-request set-var(txn.rest) var(txn.host),regsub(^[^.]*,)",
    ]
    unless = ""
    for host in _hosts_asked(site):
        if host == _NEXT_LABEL:
            lines.append("    http-request set-var(txn.rest) var(txn.rest),regsub(^[.][^.]*,)")
            continue
        lines += [
            f"    http-request set-var-fmt(txn.asked) {host}%[path]{unless}",
            f"    http-request set-var(txn.found) var(txn.asked),map_str({exact})"
            " unless { var(txn.found) -m found }",
            f"    http-request set-var(txn.found) var(txn.asked),concat(/),map_beg({prefix})"
            " unless { var(txn.found) -m found }",
        ]
        unless = " unless { var(txn.found) -m found }"
    for group, choices in sorted(groups.items()):
        lines += [f"    {line}" for choice in choices for line in _choose(group, choice)]
    lines += [
        "    http-request set-var(txn.backend) var(txn.found)"
        f" if {{ var(txn.found) -m found }} !{{ var(txn.found) -m beg {GROUP} }}",
        "    use_backend %[var(txn.backend)] if { var(txn.backend) -m found }",
        f"    default_backend {NOT_FOUND}-{port}",
    ]
    return "\n".join(lines) + "\n"


def _hosts_asked(site: Site) -> Iterator[str]:
    """What stands for the host in one look-up after the other, the most particular first."""
    yield "%[var(txn.host)]"
    yield "*%[var(txn.rest)]"
    if any(match.host.startswith("**") for match in site.routes):
        for label in range(WILDCARD_LABELS_MAX):
            if label:
                yield _NEXT_LABEL
            yield "**%[var(txn.rest)]"
    yield ""


def _choose(group: str, choice: Choice) -> Iterator[str]:
    tests = (_test(condition) for condition in choice.conditions)
    yield (
        f"http-request set-var(txn.backend) str({choice.backend.name})"
        f" if {{ var(txn.found) -m str {group} }} !{{ var(txn.backend) -m found }} "
        + " ".join(tests)
    ).rstrip()


def _test(condition: Condition) -> str:
    fetch = {
        Part.METHOD: "method",
        Part.PATH: "path",
        Part.HEADER: f"req.fhdr({_name(condition.name)})",
        Part.QUERY: f"url_param({_name(condition.name)})",
    }[condition.part]
    return (
        f"{{ {fetch} -m {'reg' if condition.is_pattern else 'str'} -- {_word(condition.value)} }}"
    )


def _groups(site: Site) -> dict[str, tuple[Choice, ...]]:
    """By name, the choices of every match that has conditions, with those that stand behind."""
    return {
        _group_name(match, choices): tuple(dict.fromkeys(_with_less_specific(match, site)))
        for match, choices in site.routes.items()
        if _has_conditions(choices)
    }


def _has_conditions(choices: tuple[Choice, ...]) -> bool:
    return bool(choices[0].conditions)


def _group_name(match: Match, choices: tuple[Choice, ...]) -> str:
    return GROUP + Backend(repr((match, choices))).name[-8:]


def _with_less_specific(match: Match, site: Site) -> Iterator[Choice]:
    yield from site.routes[match]
    behind = (other for other in site.routes if other != match and _includes(other, match))
    for other in sorted(behind, key=_specificity):
        yield from site.routes[other]


def _includes(other: Match, match: Match) -> bool:
    """Whether whatever a match takes, the other takes too."""
    if other.exact or not _includes_host(other.host, match.host):
        return False
    return (match.path.rstrip("/") + "/").startswith(other.path.rstrip("/") + "/")


def _includes_host(other: str, host: str) -> bool:
    if other in ("", host):
        return True
    if other.startswith("**"):
        return host.endswith(other[2:])
    return bool(host) and other == "*." + host.partition(".")[2]


def _specificity(match: Match) -> tuple[bool, bool, int, int]:
    host = match.host.lstrip("*")
    return not match.host, match.host.startswith("*"), -len(host), -len(match.path)


def _map(site: Site, groups: Mapping[str, tuple[Choice, ...]], *, exact: bool) -> str:
    lines = []
    for match, choices in sorted(site.routes.items(), key=lambda item: item[0]):
        if match.exact == exact:
            is_group = _has_conditions(choices)
            found = _group_name(match, choices) if is_group else choices[0].backend.name
            lines.append(f"{_key(match)} {found}\n")
    return "".join(lines)


def _key(match: Match) -> str:
    if match.exact:
        return match.host + match.path
    return match.host + (match.path if match.path.endswith("/") else f"{match.path}/")


def _not_found(port: int, site: Site, where: Surroundings) -> str:
    name = f"{NOT_FOUND}-{port}"
    if site.default is not None:
        return _backend(site.default, where, name)
    answer = 'return status 404 content-type text/plain string "404 page not found\\n"'
    return f"backend {name}\n    http-request {answer}\n"


def _backend(backend: Backend, where: Surroundings, name: str) -> str:
    lines = [f"backend {name}"]
    if backend.timeout_seconds:
        lines.append(f"    timeout server {round(backend.timeout_seconds * 1000)}")
    lines += [f"    {line}" for change, words in backend.changes for line in _change(change, words)]
    if backend.redirect is not None:
        lines += [f"    {line}" for line in _redirect(backend.redirect)]
    for index, server in enumerate(backend.servers):
        lines.append(f"    server s{index} {_server(server, where)}")
    return "\n".join(lines) + "\n"


def _change(change: Change, words: tuple[str, ...]) -> Iterator[str]:
    match change:
        case Change.SET_REQUEST_HEADER:
            yield f"http-request set-header {_name(words[0])} {_format(words[1])}"
        case Change.ADD_REQUEST_HEADER:
            yield f"http-request add-header {_name(words[0])} {_format(words[1])}"
        case Change.DROP_REQUEST_HEADER:
            yield f"http-request del-header {_name(words[0])}"
        case Change.SET_ANSWER_HEADER:
            yield f"http-response set-header {_name(words[0])} {_format(words[1])}"
        case Change.ADD_ANSWER_HEADER:
            yield f"http-response add-header {_name(words[0])} {_format(words[1])}"
        case Change.DROP_ANSWER_HEADER:
            yield f"http-response del-header {_name(words[0])}"
        case Change.SET_PATH:
            yield f"http-request set-path {_format(words[0])}"
        case Change.REPLACE_PREFIX:
            yield from _replace_prefix(*words)


def _replace_prefix(old: str, new: str) -> Iterator[str]:
    old, new = old.rstrip("/"), new.rstrip("/")
    pattern = "".join(
        c if c.isalnum() or c in "/-_~" else f"[{c}]" for c in old if c not in "[]^\\"
    )
    # What follows the prefix first: the new prefix may begin with the old.
    yield f'http-request replace-path {_word(f"^{pattern}(/.*)$")} {_format(new)[:-1]}\\\\1"'
    yield f"http-request replace-path {_word(f'^{pattern}/*$')} {_format(new or '/')}"


def _redirect(redirect: Redirect) -> Iterator[str]:
    if redirect.prefix is not None:
        yield from _replace_prefix(*redirect.prefix)
    scheme = redirect.scheme or "%[req.hdr(X-Forwarded-Proto)]"
    host = _plain(redirect.host).replace("%", "") or "%[var(txn.host)]"
    usual = {"http": 80, "https": 443}.get(redirect.scheme)
    port = f":{redirect.port}" if redirect.port and redirect.port != usual else ""
    path = _plain(redirect.path).replace("%", "%%") if redirect.path else "%[path]"
    location = f"{scheme}://{host}{port}{path}"
    for suffix, condition in (
        ("?%[query]", " if { query -m found } { query -m len gt 0 }"),
        ("", ""),
    ):
        where = f'"{location}{suffix}"'
        yield f"http-request redirect location {where} code {redirect.status}{condition}"


def _server(server: Server, where: Surroundings) -> str:
    host = f"[{server.host}]" if ":" in server.host else server.host
    words = [f"{host}:{server.port}", f"weight {server.weight}"]
    if server.tls:
        words.append("ssl verify none")
    if server.http2:
        words.append("alpn h2" if server.tls else "proto h2")
    if not is_address(server.host):
        words.append("resolvers cluster init-addr none" if where.resolver else "init-addr none")
    return " ".join(words)


def _file_of(certificate: Certificate) -> str:
    return f"{certificate.name}.pem"


def _certificate_list(certificates: Iterable[Certificate], directory: Path) -> str:
    lines = (" ".join((str(directory / _file_of(c)), *c.hosts)) for c in certificates)
    return "\n".join(lines) + "\n"


# What users wrote must stay one word of the configuration.


def _name(text: str) -> str:
    """A header's or parameter's name."""
    return "".join(c for c in text if c in _TOKEN) or "x"


def _plain(text: str) -> str:
    return "".join(c for c in text if c.isprintable() and c not in " \"'\\{}[]#")


def _word(text: str) -> str:
    """One argument, in strong quotes, which take everything but themselves as it is."""
    printable = "".join(c for c in text if c.isprintable())
    return "'" + printable.replace("'", "'\\''") + "'"


def _format(text: str) -> str:
    """One argument that haproxy reads as a format: percent signs are doubled."""
    printable = "".join(c for c in text if c.isprintable())
    escaped = printable.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return '"' + escaped.replace("%", "%%") + '"'
