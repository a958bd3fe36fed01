"""The TLS side of the listener: our certificate, and the CA that client certificates are from."""

import ssl
from pathlib import Path
from typing import Any


class Session(ssl.SSLObject):
    """One TLS connection, read and written without a function of Python's in between.

    The event loop takes both methods once and calls them for every record.
    """

    @property
    def read(self) -> Any:
        return self._sslobj.read  # type: ignore[attr-defined]

    @property
    def write(self) -> Any:
        return self._sslobj.write  # type: ignore[attr-defined]


def server_context(*, certificate: Path, key: Path, client_ca: Path) -> ssl.SSLContext:
    """TLS 1.2 and later; a client certificate is optional, but if shown its chain must hold."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    context.sslobject_class = Session
    return context
