"""What the proxy of a node serves. Pure; knows nothing of Ingresses, Gateways or of haproxy."""

import base64
import enum
import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Server:
    """Where a backend's requests go: an address or a name, which haproxy then looks up."""

    host: str
    port: int
    weight: int = 1
    tls: bool = False  # the certificate is not verified, as with the API's own proxies
    http2: bool = False  # without asking first whether it is spoken


class Change(enum.Enum):
    """What is done to a request or its answer on the way.

    Headers are given by name and value, the path as it is to be, a prefix by the old and the new.
    """

    SET_REQUEST_HEADER = enum.auto()
    ADD_REQUEST_HEADER = enum.auto()
    DROP_REQUEST_HEADER = enum.auto()
    SET_ANSWER_HEADER = enum.auto()
    ADD_ANSWER_HEADER = enum.auto()
    DROP_ANSWER_HEADER = enum.auto()
    SET_PATH = enum.auto()
    REPLACE_PREFIX = enum.auto()


@dataclass(frozen=True, slots=True)
class Redirect:
    """An answer instead of a backend; "" and 0 keep what was asked for."""

    status: int = 302
    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""
    prefix: tuple[str, str] | None = None  # old, new


@dataclass(frozen=True, slots=True)
class Backend:
    """Servers that requests are spread over; none: every request is answered 503."""

    label: str  # for people: namespace, service and port
    servers: tuple[Server, ...] = ()
    changes: tuple[tuple[Change, tuple[str, ...]], ...] = ()
    redirect: Redirect | None = None
    timeout_seconds: float = 0.0  # 0: the proxy's own

    @property
    def name(self) -> str:
        digest = base64.b32encode(hashlib.sha256(repr(self).encode()).digest())[:8].decode()
        return f"{self.label}-{digest}"


@dataclass(frozen=True, slots=True, order=True)
class Match:
    """Requests by host ("" any, ``*.example.com`` one label more, ``**.example.com`` any number of
    labels more) and path.

    A prefix is of whole elements: ``/a`` is a prefix of ``/a`` and ``/a/b`` and not of ``/ab``.
    """

    host: str
    path: str = "/"
    exact: bool = False


class Part(enum.Enum):
    """What else of a request a route may look at."""

    METHOD = "method"
    HEADER = "header"
    QUERY = "query"
    PATH = "path"


@dataclass(frozen=True, slots=True)
class Condition:
    """A part of a request has a value, or a match of a regular expression."""

    part: Part
    name: str  # of the header or parameter
    value: str
    is_pattern: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend for requests that meet all conditions."""

    backend: Backend
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate chain and key (PEM) for some server names; none: for those it is issued to."""

    name: str
    pem: bytes = field(repr=False)
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """What is served on one port; with certificates by TLS."""

    # The first choice whose conditions hold; if none does, a less specific match is tried.
    routes: dict[Match, tuple[Choice, ...]] = field(default_factory=dict)
    # What no route matches; None is answered 404.
    default: Backend | None = None
    certificates: tuple[Certificate, ...] = ()


# By port number and whether it is TLS.
Sites = dict[tuple[int, bool], Site]
