"""What the proxy of a node serves. Pure; knows nothing of Ingresses or of haproxy."""

import base64
import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Server:
    """Where a backend's requests go: an address or a name, which haproxy then looks up."""

    host: str
    port: int
    weight: int = 1
    tls: bool = False  # the certificate is not verified, as with the API's own proxies
    http2: bool = False  # without TLS


@dataclass(frozen=True, slots=True)
class Backend:
    """Servers that requests are spread over; none: every request is answered 503."""

    label: str  # for people: namespace, service and port
    servers: tuple[Server, ...] = ()

    @property
    def name(self) -> str:
        identity = repr((self.label, self.servers))
        digest = base64.b32encode(hashlib.sha256(identity.encode()).digest())[:8].decode()
        return f"{self.label}-{digest}"


@dataclass(frozen=True, slots=True, order=True)
class Match:
    """Requests by host ("" any, ``*.example.com`` one label more) and path.

    A prefix is of whole elements: ``/a`` is a prefix of ``/a`` and ``/a/b`` and not of ``/ab``.
    """

    host: str
    path: str = "/"
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate chain and key (PEM) for some server names; none: for those it is issued to."""

    name: str
    pem: bytes = field(repr=False)
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that is served, on the plain port and, with certificates, on the TLS port."""

    routes: dict[Match, Backend] = field(default_factory=dict)
    # What no route matches; None is answered 404.
    default: Backend | None = None
    certificates: tuple[Certificate, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.routes or self.default)
