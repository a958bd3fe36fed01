"""Absolute paths in proxied answers, made to lead through the proxy again. Pure.

As upstream's ``proxy.Transport``: ``Location`` headers, and the URLs in attributes of HTML.
"""

import re
from urllib.parse import urlsplit, urlunsplit

# Attributes that hold a URL in some HTML element.
_ATTRIBUTES = (
    "href|src|action|formaction|cite|background|codebase|longdesc|profile|manifest|poster|data|"
    "icon|usemap|classid"
)
_TAG = re.compile(r"<[a-zA-Z][^<>]*>")
_ATTRIBUTE = re.compile(
    rf"""(\s(?:{_ATTRIBUTES})\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE
)


def rewritten_url(url: str, *, prefix: str, host: str) -> str:
    """The URL through the proxy at ``prefix``; others' and relative URLs stay as they are."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if (parts.netloc and parts.netloc != host) or not parts.path.startswith("/"):
        return url
    if parts.path.startswith(prefix):
        return url
    return urlunsplit(("", "", prefix.rstrip("/") + parts.path, parts.query, parts.fragment))


def rewritten_html(text: str, *, prefix: str, host: str) -> str:
    """The URLs in each tag's attributes rewritten."""

    def attribute(match: re.Match[str]) -> str:
        value = match[2]
        quote = value[0] if value[0] in "\"'" else ""
        url = value[1:-1] if quote else value
        return match[1] + quote + rewritten_url(url, prefix=prefix, host=host) + quote

    return _TAG.sub(lambda tag: _ATTRIBUTE.sub(attribute, tag[0]), text)
