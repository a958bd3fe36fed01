"""The proxy's files for what is served. Pure.

A request's host and path are looked up in two maps (exact paths, prefixes), for its host, then for
the wildcard of its host, then for no host: six look-ups however many routes there are. Entries of
the prefix map end in a slash, and so does what is looked up: the longest entry is then the longest
prefix of whole elements.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sagong.network.ingress.model import Backend, Certificate, Match, Server, Site

CONFIG, EXACT, PREFIX, CERTIFICATES = "haproxy.cfg", "exact.map", "prefix.map", "certificates.list"
NOT_FOUND = "not-found"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where it listens on the node; "" is every address."""

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


def plan_files(site: Site, where: Surroundings) -> Mapping[str, bytes]:
    """Every file below the directory, by name."""
    files = {
        CONFIG: _config(site, where).encode(),
        EXACT: _map(site, exact=True).encode(),
        PREFIX: _map(site, exact=False).encode(),
    }
    files |= {_file_of(certificate): certificate.pem for certificate in site.certificates}
    if site.certificates:
        files[CERTIFICATES] = _certificate_list(site.certificates, where.directory).encode()
    return files


def _config(site: Site, where: Surroundings) -> str:
    sections = [
        _global(where),
        _DEFAULTS,
        *_resolvers(where),
        _frontend("http", f"bind {where.ports.address}:{where.ports.http}", "http", where),
    ]
    if site.certificates:
        bind = (
            f"bind {where.ports.address}:{where.ports.https} ssl strict-sni alpn h2,http/1.1"
            f" crt-list {where.directory / CERTIFICATES}"
        )
        sections.append(_frontend("https", bind, "https", where))
    backends = {backend.name: backend for backend in site.routes.values()}
    sections += [_backend(backends[name], where) for name in sorted(backends)]
    if site.default is not None:
        sections.append(_backend(site.default, where, name=NOT_FOUND))
    else:
        answer = 'return status 404 content-type text/plain string "404 page not found\\n"'
        sections.append(f"backend {NOT_FOUND}\n    http-request {answer}\n")
    return "\n".join(sections)


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


def _frontend(name: str, bind: str, scheme: str, where: Surroundings) -> str:
    exact, prefix = where.directory / EXACT, where.directory / PREFIX
    lines = [
        f"frontend {name}",
        f"    {bind}",
        f"    http-request set-header X-Forwarded-Proto {scheme}",
        "    http-request set-header X-Forwarded-Host %[req.hdr(host)]",
        "    http-request set-header X-Real-IP %[src]",
        "    http-request set-var(txn.host) req.hdr(host),field(1,:),lower",
        "    http-request set-var(txn.wildcard) var(txn.host),regsub(^[^.]*,*)",
    ]
    unless = ""
    for host in ("%[var(txn.host)]", "%[var(txn.wildcard)]", ""):
        lines += [
            f"    http-request set-var-fmt(txn.asked) {host}%[path]{unless}",
            f"    http-request set-var(txn.backend) var(txn.asked),map_str({exact})"
            " unless { var(txn.backend) -m found }",
            f"    http-request set-var(txn.backend) var(txn.asked),concat(/),map_beg({prefix})"
            " unless { var(txn.backend) -m found }",
        ]
        unless = " unless { var(txn.backend) -m found }"
    lines += [
        "    use_backend %[var(txn.backend)] if { var(txn.backend) -m found }",
        f"    default_backend {NOT_FOUND}",
    ]
    return "\n".join(lines) + "\n"


def _backend(backend: Backend, where: Surroundings, name: str = "") -> str:
    lines = [f"backend {name or backend.name}"]
    for index, server in enumerate(backend.servers):
        lines.append(f"    server s{index} {_server(server, where)}")
    return "\n".join(lines) + "\n"


def _server(server: Server, where: Surroundings) -> str:
    words = [f"{server.host}:{server.port}", f"weight {server.weight}"]
    if server.tls:
        words.append("ssl verify none")
    if server.http2:
        words.append("proto h2")
    if not server.host.replace(".", "").isdigit():
        words.append("resolvers cluster init-addr none" if where.resolver else "init-addr none")
    return " ".join(words)


def _map(site: Site, *, exact: bool) -> str:
    entries = sorted((m, b) for m, b in site.routes.items() if m.exact == exact)
    return "".join(f"{_key(match)} {backend.name}\n" for match, backend in entries)


def _key(match: Match) -> str:
    if match.exact:
        return match.host + match.path
    return match.host + (match.path if match.path.endswith("/") else f"{match.path}/")


def _file_of(certificate: Certificate) -> str:
    return f"{certificate.name}.pem"


def _certificate_list(certificates: Iterable[Certificate], directory: Path) -> str:
    lines = (" ".join((str(directory / _file_of(c)), *c.hosts)) for c in certificates)
    return "\n".join(lines) + "\n"
