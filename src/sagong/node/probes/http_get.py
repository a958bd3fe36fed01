"""httpGet: a status from 200 to 399 is success. Certificates are not checked, as upstream."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import aiohttp

from sagong.api.types import Obj
from sagong.node.probes.outcome import Outcome

BODY_BYTES_MAX = 10 * 1024
REDIRECTS_MAX = 10
USER_AGENT = "kube-probe/1.36"


@dataclass(frozen=True, slots=True)
class HttpTarget:
    url: str
    headers: Mapping[str, str]


def resolve_port(port: int | str, container: Obj) -> int:
    """A port by number or name. Raises ValueError."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for entry in container.get("ports") or []:
        if entry.get("name") == port:
            return int(entry["containerPort"])
    raise ValueError(f"couldn't find port: {port!r} in container")


def http_target(action: Obj, container: Obj, pod_ip: str) -> HttpTarget:
    """The request that an httpGet action stands for. Raises ValueError for an unknown port."""
    scheme = str(action.get("scheme") or "HTTP").lower()
    host = action.get("host") or pod_ip
    port = resolve_port(action["port"], container)
    path = str(action.get("path") or "/")
    if not path.startswith("/"):
        path = "/" + path
    literal = f"[{host}]" if ":" in host else host
    headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"}
    for header in action.get("httpHeaders") or []:
        if header["name"] in headers and not header["value"]:
            headers.pop(header["name"])
        else:
            headers[header["name"]] = header["value"]
    return HttpTarget(f"{scheme}://{literal}:{port}{path}", headers)


async def http_request(target: HttpTarget, *, timeout_seconds: float) -> Outcome:
    """One request. Redirects are followed on the same host; another host is taken as success."""
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    connector = aiohttp.TCPConnector(ssl=False, force_close=True, limit=1)
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            return await _follow(session, target)
    except TimeoutError:
        return Outcome(
            f'Get "{target.url}": context deadline exceeded '
            "(Client.Timeout exceeded while awaiting headers)"
        )
    except aiohttp.ClientConnectorError as error:
        where = f"{error.host}:{error.port}"
        reason = (error.os_error.strerror or str(error)).lower()
        if "connect call failed" in reason:
            reason = "connection refused"
        return Outcome(f'Get "{target.url}": dial tcp {where}: connect: {reason}')
    except (aiohttp.ClientError, OSError, ValueError, asyncio.IncompleteReadError) as error:
        return Outcome(f'Get "{target.url}": {error or type(error).__name__}')


async def _follow(session: aiohttp.ClientSession, target: HttpTarget) -> Outcome:
    url, host = target.url, urlsplit(target.url).hostname
    for _ in range(REDIRECTS_MAX):
        async with session.get(url, headers=target.headers, allow_redirects=False) as response:
            await response.content.read(BODY_BYTES_MAX)
            location = response.headers.get("Location")
            if 300 <= response.status < 400 and location:
                url = urljoin(url, location)
                if urlsplit(url).hostname == host:
                    continue
                return Outcome(warning="Probe terminated redirects")
            if 200 <= response.status < 400:
                return Outcome()
            return Outcome(f"HTTP probe failed with statuscode: {response.status}")
    return Outcome(f'Get "{url}": stopped after {REDIRECTS_MAX} redirects')
