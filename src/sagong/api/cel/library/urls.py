"""URLs (Kubernetes' ``library/urls.go``): what Go's ``url.ParseRequestURI`` accepts."""

import re
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from sagong.api.cel import costs
from sagong.api.cel.declarations import Declaring, Overload
from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.types import BOOL, STRING, list_of, map_of, opaque

URL = opaque("kubernetes.URL")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):(.*)", re.DOTALL)
_AUTHORITY = re.compile(r"//([^/?]*)(.*)", re.DOTALL)
_HOST = re.compile(r"(?:\[[0-9a-fA-F:.%]*\]|[^\[\]\s:\\^`{}|\"<>]*)(?::([0-9]*))?")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
# What Go leaves as it is in a path.
_PATH_SAFE = "/$&+,:;=@!'()*~"


class Url:
    """A URL as a value."""

    __slots__ = ("host", "path", "query", "scheme")
    type_name = URL.name

    def __init__(self, scheme: str, host: str, path: str, query: str) -> None:
        self.scheme = scheme
        self.host = host
        self.path = path
        self.query = query

    def equals(self, other: Any) -> bool:
        if not isinstance(other, Url):
            return False
        mine = (self.scheme, self.host, self.path, self.query)
        return mine == (other.scheme, other.host, other.path, other.query)


def functions() -> dict[str, list[Overload]]:
    declaring = Declaring()
    declaring.function("url", "string_to_url", (STRING,), URL, _to_url, costs.reads_first)
    declaring.function("isURL", "is_url_string", (STRING,), BOOL, is_url, costs.reads_first)
    for name, call in (
        ("getScheme", lambda url: url.scheme),
        ("getHost", lambda url: url.host),
        ("getHostname", _hostname),
        ("getPort", _port),
        ("getEscapedPath", lambda url: quote(unquote(url.path), safe=_PATH_SAFE)),
    ):
        id_ = f"url_get_{name.removeprefix('get').lower()}"
        declaring.member(name, id_, (URL,), STRING, call)
    queries = map_of(STRING, list_of(STRING))
    declaring.member("getQuery", "url_get_query", (URL,), queries, _query)
    return declaring.functions()


def _failed(text: str, why: str) -> EvaluationError:
    message = "URL parse error during conversion from string"
    return EvaluationError(f'{message}: parse "{text}": {why}')


def _to_url(text: str) -> Url:
    if not text:
        raise _failed(text, "empty url")
    if any(ord(char) < 0x20 or char == "\x7f" for char in text):
        raise _failed(text, "net/url: invalid control character in URL")
    scheme, rest = "", text
    match = _SCHEME.fullmatch(text)
    if match is not None:
        scheme, rest = match[1].lower(), match[2]
    elif text.startswith(":"):
        raise _failed(text, "missing protocol scheme")
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return Url(scheme, "", "", query)
        raise _failed(text, "invalid URI for request")
    host = ""
    authority = _AUTHORITY.fullmatch(rest) if scheme or not rest.startswith("///") else None
    if authority is not None and scheme:
        host, rest = authority[1].rpartition("@")[2], authority[2]
        if _HOST.fullmatch(host) is None:
            raise _failed(text, "invalid character in host name")
    if _BAD_ESCAPE.search(rest):
        bad = _BAD_ESCAPE.search(rest)
        shown = rest[bad.start() : bad.start() + 3] if bad else ""
        raise _failed(text, f'invalid URL escape "{shown}"')
    return Url(scheme, host, rest, query)


def is_url(text: str) -> bool:
    try:
        _to_url(text)
    except EvaluationError:
        return False
    return True


def _hostname(url: Url) -> str:
    host = url.host
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _port(url: Url) -> str:
    match = _HOST.fullmatch(url.host)
    return (match[1] or "") if match is not None else ""


def _query(url: Url) -> dict[str, list[str]]:
    return parse_qs(url.query, keep_blank_values=True)
