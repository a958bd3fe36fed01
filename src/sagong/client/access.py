"""How to reach an API server and as whom: what a kubeconfig says, without the file."""

import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Access:
    """A server's URL, whom to trust, and credentials. Certificates and keys are PEM."""

    server: str
    ca: bytes | None = None  # None: the system's authorities
    insecure: bool = False  # do not check the server's certificate
    tls_server_name: str = ""  # the name to check instead of the URL's host
    certificate: bytes | None = None
    key: bytes | None = None
    token: str = ""
    token_file: Path | None = None  # read again whenever it changes; wins over ``token``

    def ssl_context(self) -> ssl.SSLContext | None:
        """None for plain HTTP. Raises ssl.SSLError for certificates that cannot be read."""
        if not self.server.startswith("https:"):
            return None
        cadata = self.ca.decode() if self.ca else None
        context = ssl.create_default_context(cadata=cadata)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate and self.key:
            _load_pair(context, self.certificate, self.key)
        return context


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # OpenSSL takes a key from a file only; this one is ours alone and gone at once.
    descriptor, name = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate.rstrip() + b"\n" + key)
        context.load_cert_chain(name)
    finally:
        os.unlink(name)


class TokenSource:
    """The bearer token of an Access, as of now."""

    def __init__(self, access: Access) -> None:
        self._file = access.token_file
        self._token = access.token
        self._stamp: tuple[int, int] | None = None

    def current(self) -> str:
        """The token, "" if there is none. A file that is being replaced keeps its last token."""
        if self._file is None:
            return self._token
        try:
            found = self._file.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp != self._stamp:
                self._token = self._file.read_text().strip()
                self._stamp = stamp
        except OSError:
            # Kept: a volume swaps its files in two steps, and the old token is good for a while.
            return self._token
        return self._token
