"""What every response says: the audit id, warnings, no caching."""

from aiohttp import web

from sagong.server.http.exchange import Exchange, Next

# Go's quoting of a warning's text: backslashes and quotes (RFC 7230 quoted-string).
_AGENT = "299 - "


async def headers(exchange: Exchange, following: Next) -> web.StreamResponse:
    """Add them unless the response is under way."""
    response = await following(exchange)
    if response.prepared:
        return response
    found = response.headers
    found["Audit-Id"] = exchange.audit_id
    found.setdefault("Cache-Control", "no-cache, private")
    for warning in exchange.warnings:
        found.add("Warning", warning_header(warning))
    return response


def warning_header(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{_AGENT}"{escaped}"'
