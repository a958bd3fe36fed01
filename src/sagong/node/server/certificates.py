"""The agent's serving certificate: the cluster's once there is one, until then one of its own.

``serving.crt`` and ``serving.key`` in the certificate directory are used as soon as they appear
and whenever they change, for new connections; without them ``self-signed.*`` is made.
"""

import contextlib
import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sagong.core.clock import Clock

SERVING = "serving"
SELF_SIGNED = "self-signed"
SELF_SIGNED_DAYS = 365
BACKDATE_SECONDS = 300.0  # for machines whose clocks lag


@dataclass(slots=True)
class ServingCertificate:
    """The TLS context of the server, kept up to date with the files by ``refresh``."""

    directory: Path
    names: Sequence[str]  # node name and addresses, for a certificate of our own
    clock: Clock
    context: ssl.SSLContext
    _loaded: tuple[str, float] = ("", 0.0)

    def refresh(self) -> None:
        """Load what is newest. Raises OSError, ssl.SSLError for damaged files."""
        name = SERVING if self._changed_at(SERVING) else SELF_SIGNED
        if name == SELF_SIGNED and not self._is_current():
            self._make()
        version = (name, self._changed_at(name))
        if version != self._loaded:
            self.context.load_cert_chain(self._file(name, "crt"), self._file(name, "key"))
            self._loaded = version

    def _file(self, name: str, suffix: str) -> Path:
        return self.directory / f"{name}.{suffix}"

    def _changed_at(self, name: str) -> float:
        try:
            self._file(name, "key").stat()
            return self._file(name, "crt").stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _is_current(self) -> bool:
        if not self._changed_at(SELF_SIGNED):
            return False
        data = self._file(SELF_SIGNED, "crt").read_bytes()
        certificate = x509.load_pem_x509_certificate(data)
        return certificate.not_valid_after_utc.timestamp() > self.clock.now() + 86400.0

    def _make(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _self_signed(key, self.names, self.clock.now())
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(
            self._file(SELF_SIGNED, "key"),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        _write_private(
            self._file(SELF_SIGNED, "crt"), certificate.public_bytes(serialization.Encoding.PEM)
        )


def server_context(client_ca_pem: bytes) -> ssl.SSLContext:
    """A client certificate is optional, but if shown it must be of the cluster's CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if client_ca_pem:
        context.load_verify_locations(cadata=client_ca_pem.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


def _self_signed(
    key: ec.EllipticCurvePrivateKey, names: Sequence[str], now: float
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    start = datetime.fromtimestamp(now - BACKDATE_SECONDS, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([_name(n) for n in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def _name(text: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(text))
    return x509.DNSName(text)


def _write_private(path: Path, data: bytes) -> None:
    """Replace a file at once, readable by its owner only."""
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
    os.replace(new, path)
