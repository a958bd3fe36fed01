"""Getting a cluster's CA certificate from its server, trusted by nothing but a pin."""

import hashlib
import socket
import ssl
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_SECONDS_MAX = 10.0


class PinError(Exception):
    """The server shows no CA with the pinned key."""


def fetch_ca(url: str, pin: str) -> bytes:
    """The CA certificate (PEM) that the server sends with its own, if its key has this pin.

    ``pin`` is ``sha256:<hex>`` of the public key, as kubeadm writes it. Nothing is sent to the
    server before the pin has matched, and nothing else that it says is believed.
    Raises PinError, OSError.
    """
    for certificate in _chain(url):
        public = certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        if "sha256:" + hashlib.sha256(public).hexdigest() == pin:
            return certificate.public_bytes(Encoding.PEM)
    raise PinError(f"the server's certificates do not include a CA with the pin {pin}")


def _chain(url: str) -> list[x509.Certificate]:
    parts = urlsplit(url)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    address = (parts.hostname or "", parts.port or 443)
    with (
        socket.create_connection(address, timeout=_SECONDS_MAX) as connection,
        context.wrap_socket(connection, server_hostname=parts.hostname) as tls,
    ):
        # Public as ``get_unverified_chain`` from Python 3.13 on; the same call lies below it.
        found = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
        return [x509.load_pem_x509_certificate(c.public_bytes().encode()) for c in found or ()]
