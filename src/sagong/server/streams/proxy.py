"""The ``proxy`` subresource of pods, services and nodes: any HTTP request, any upgrade."""

import asyncio
import ssl
import zlib
from dataclasses import dataclass, replace

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from sagong.api.call import Call, Single, Verb
from sagong.api.errors import ServiceUnavailable, not_found
from sagong.api.types import Obj, User
from sagong.core.ids import Ids
from sagong.core.tunnel import HOP_HEADERS
from sagong.server.admission.interface import Lister
from sagong.server.handlers import Storage
from sagong.server.http.exchange import Exchange
from sagong.server.streams.backend import Backend, blocks_of, cause_of
from sagong.server.streams.joining import pass_through
from sagong.server.streams.kubelets import Endpoint, Kubelets, address_of, dial_text
from sagong.server.streams.proxy_rewriting import rewritten_html, rewritten_url
from sagong.server.streams.proxy_targets import (
    Location,
    pod_location,
    service_locations,
    service_port_name,
    split_name,
)

HTML_BYTES_MAX = 4 * 1024 * 1024  # longer pages are passed on as they are
_SERVICE_LABEL = "kubernetes.io/service-name"
_OWN_HEADERS = frozenset(("authorization", "content-length", "transfer-encoding"))
# aiohttp would add its own where a client sent none.
_AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


@dataclass(frozen=True, slots=True)
class Proxy:
    """The connections."""

    storage: Storage
    lister: Lister
    kubelets: Kubelets
    backend: Backend
    ids: Ids
    # For https pods and services, whose certificates nobody can verify.
    insecure: ssl.SSLContext

    async def pod(self, exchange: Exchange, call: Call, rest: str) -> web.StreamResponse:
        named = split_name(call.name, "pod")
        pod = await self._get(replace(call, name=named.name), exchange.user)
        return await self._forward(exchange, call, self._endpoint(pod_location(named, pod)))

    async def service(self, exchange: Exchange, call: Call, rest: str) -> web.StreamResponse:
        """To a random ready endpoint of the service's port."""
        named, namespace = split_name(call.name, "service"), call.namespace or ""
        service = None
        if named.port.isdigit():
            service = await self._get(replace(call, name=named.name), exchange.user)
        port_name = service_port_name(named, service)
        slices = [
            item.obj
            for item in self.lister.list("endpointslices.discovery.k8s.io", namespace)
            if (item.obj["metadata"].get("labels") or {}).get(_SERVICE_LABEL) == named.name
        ]
        if not slices and self.lister.get("services", namespace, named.name) is None:
            raise not_found("", "services", named.name)
        found = service_locations(named, port_name, slices)
        if not found:
            raise ServiceUnavailable(f'no endpoints available for service "{call.name}"')
        chosen = found[int(self.ids.random() * len(found))]
        return await self._forward(exchange, call, self._endpoint(chosen))

    async def node(self, exchange: Exchange, call: Call, rest: str) -> web.StreamResponse:
        """To the node's agent, or with a port to whatever listens there."""
        named = split_name(call.name, "node")
        kubelet = self.kubelets.of(named.name)
        if named.port in ("", str(kubelet.port)):
            return await self._forward(exchange, call, kubelet)
        node = self.lister.get("nodes", "", named.name)
        assert node is not None
        port = named.number(named.port)
        location = Location(address_of(node.obj), port, named.scheme == "https")
        return await self._forward(exchange, call, self._endpoint(location))

    async def _get(self, call: Call, user: User) -> Obj:
        plain = Call(Verb.GET, call.resource, namespace=call.namespace, name=call.name)
        answer = await self.storage.execute(plain, user)
        assert isinstance(answer, Single)
        return answer.obj

    def _endpoint(self, location: Location) -> Endpoint:
        tls = self.insecure if location.is_https else None
        return Endpoint(location.host, location.port, tls)

    async def _forward(
        self, exchange: Exchange, call: Call, endpoint: Endpoint
    ) -> web.StreamResponse:
        request = exchange.request
        prefix, path = split_path(exchange.path, namespaced=call.namespace is not None)
        target = (path or "/") + (f"?{exchange.query}" if exchange.query else "")
        if "upgrade" in request.headers.get("Connection", "").lower():
            kept = [(n, v) for n, v in request.headers.items() if not _is_own(n)]
            sent = [(n, v) for n, v in kept if n.lower() != "host"]
            return await pass_through(request, endpoint, target, sent)
        if not path and request.method in ("GET", "HEAD"):
            query = f"?{exchange.query}" if exchange.query else ""
            return web.Response(status=301, headers={"Location": f"{exchange.path}/{query}"})
        url = URL(endpoint.url + target, encoded=True)
        try:
            answer = await self.backend.session().request(
                request.method,
                url,
                headers=_forwarded(request, exchange.path),
                data=request.content if request.body_exists else None,
                ssl=endpoint.tls or False,
                allow_redirects=False,
                skip_auto_headers=_AUTOMATIC,
            )
        except (aiohttp.ClientError, OSError) as error:
            text = dial_text(endpoint, cause_of(error))
            raise ServiceUnavailable(f"error trying to reach service: {text}") from error
        async with answer:
            return await _pass_on(exchange, answer, prefix)


def split_path(path: str, *, namespaced: bool) -> tuple[str, str]:
    """A request's path up to ``/proxy``, and what follows; both as sent."""
    # /api/v1/namespaces/{ns}/pods/{name}/proxy or /api/v1/nodes/{name}/proxy
    parts = path.split("/")
    count = 8 if namespaced else 6
    rest = parts[count:]
    return "/".join(parts[:count]), "/" + "/".join(rest) if rest else ""


def _is_own(name: str) -> bool:
    """Headers between the client and this server: credentials and framing."""
    name = name.lower()
    return name in _OWN_HEADERS or name.startswith("impersonate-")


def _forwarded(request: web.BaseRequest, path: str) -> CIMultiDict[str]:
    kept = [
        (name, value)
        for name, value in request.headers.items()
        if name.lower() not in HOP_HEADERS and not _is_own(name)
    ]
    headers = CIMultiDict(kept)
    if request.body_exists and request.content_length is not None:
        headers["Content-Length"] = str(request.content_length)
    headers["X-Forwarded-Uri"] = path
    headers["X-Forwarded-Host"] = request.headers.get("Host", "")
    headers["X-Forwarded-Proto"] = "https"
    if request.remote:
        seen = request.headers.get("X-Forwarded-For")
        headers["X-Forwarded-For"] = f"{seen}, {request.remote}" if seen else request.remote
    return headers


async def _pass_on(
    exchange: Exchange, answer: aiohttp.ClientResponse, prefix: str
) -> web.StreamResponse:
    request, host = exchange.request, answer.url.authority
    kept = [
        (name, value)
        for name, value in answer.headers.items()
        if name.lower() not in HOP_HEADERS or name.lower() == "content-length"
    ]
    headers = CIMultiDict(kept)
    if "Location" in headers:
        headers["Location"] = rewritten_url(headers["Location"], prefix=prefix, host=host)
    page = await _page(answer, headers) if request.method != "HEAD" else None
    if page is not None:
        headers.popall("Content-Length", None)
        headers.popall("Content-Encoding", None)
        text = rewritten_html(page.decode("utf-8", "surrogateescape"), prefix=prefix, host=host)
        body = text.encode("utf-8", "surrogateescape")
        return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=body)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    response.headers["Audit-Id"] = exchange.audit_id
    await response.prepare(request)
    try:
        async for block in blocks_of(answer, request):
            await response.write(block)
    except (aiohttp.ClientError, asyncio.IncompleteReadError):
        # The backend went away in the middle: the client must not take this for the end.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


async def _page(answer: aiohttp.ClientResponse, headers: CIMultiDict[str]) -> bytes | None:
    """The HTML of an answer, uncompressed; None for what is none or is too long to hold."""
    length = answer.content_length
    encoding = headers.get("Content-Encoding", "")
    if answer.content_type != "text/html" or encoding not in ("", "gzip"):
        return None
    if length is None or length > HTML_BYTES_MAX:
        return None
    data = await answer.content.read()
    if not encoding:
        return data
    unpacker = zlib.decompressobj(31)
    page = unpacker.decompress(data, HTML_BYTES_MAX)
    if unpacker.unconsumed_tail:
        raise ServiceUnavailable("error trying to reach service: the page is too long")
    return page
