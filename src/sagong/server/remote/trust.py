"""TLS towards extensions: whose certificates are trusted, and how we show ourselves."""

import base64
import binascii
import ssl
from functools import lru_cache
from pathlib import Path

BUNDLES_MAX = 256  # of which a context is kept; past it the least used is made again


@lru_cache(maxsize=BUNDLES_MAX)
def trusting(ca_bundle: str) -> ssl.SSLContext:
    """Verifies against a base64 PEM bundle, or the machine's roots. Raises ValueError."""
    context = ssl.create_default_context() if not ca_bundle else _only(ca_bundle)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _only(ca_bundle: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=base64.b64decode(ca_bundle).decode("ascii"))
    except (binascii.Error, UnicodeDecodeError, ssl.SSLError):
        text = "unable to load root certificates: unable to parse bytes as PEM block"
        raise ValueError(text) from None
    return context


def proxying(ca_bundle: str, *, insecure: bool, certificate: Path, key: Path) -> ssl.SSLContext:
    """As ``trusting``, with our client certificate; a context of its own. Raises ValueError."""
    context = ssl.create_default_context() if not ca_bundle else _only(ca_bundle)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(certificate, key)
    return context
