"""A certificate authority as a value: new keys, new certificates, signed requests.

Pure but for the randomness of keys and serial numbers, which comes from the system on purpose:
a reproducible key is no key. Keys are ECDSA P-256: made and used in a fraction of a millisecond.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

# Certificates start this long ago, so that machines whose clocks lag may use them at once.
BACKDATE_SECONDS = 300.0

SERVER_AUTH = "server auth"
CLIENT_AUTH = "client auth"

# The usages of ``certificates.k8s.io/v1`` that are key usages, as X.509 names them.
_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
# And those that are extended key usages.
_EXTENDED_USAGES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    SERVER_AUTH: ExtendedKeyUsageOID.SERVER_AUTH,
    CLIENT_AUTH: ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
}
KNOWN_USAGES = frozenset(_KEY_USAGES) | frozenset(_EXTENDED_USAGES)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its private key, both PEM."""

    certificate_pem: bytes
    key_pem: bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """What a certificate is to say of its holder."""

    common_name: str
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    usages: tuple[str, ...] = (CLIENT_AUTH,)

    def name(self) -> x509.Name:
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in self.organizations]
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, self.common_name))
        return x509.Name(attributes)

    def alternative_names(self) -> list[x509.GeneralName]:
        names: list[x509.GeneralName] = [x509.DNSName(n) for n in self.dns_names]
        names += [x509.IPAddress(ipaddress.ip_address(a)) for a in self.addresses]
        return names


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def key_from_pem(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Raises ValueError if the PEM holds no EC private key."""
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic-curve key")
    return key


def public_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def certificate_to_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def new_authority(common_name: str, *, now: float, ttl_seconds: float) -> Pair:
    """A self-signed CA that may sign end certificates only."""
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(name, name, key.public_key(), now=now, until=now + ttl_seconds)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            _key_usage({"digital_signature", "key_encipherment", "key_cert_sign"}), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate_to_pem(certificate), key_to_pem(key))


class Authority:
    """Signs with one CA."""

    def __init__(self, pair: Pair) -> None:
        self.certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
        self.certificate_pem = pair.certificate_pem
        self._key = key_from_pem(pair.key_pem)

    def issue(self, identity: Identity, *, now: float, ttl_seconds: float) -> Pair:
        """A new key and a certificate for it."""
        key = new_key()
        certificate = self._sign(
            identity.name(),
            key.public_key(),
            identity.alternative_names(),
            identity.usages,
            now=now,
            ttl_seconds=ttl_seconds,
        )
        return Pair(certificate_to_pem(certificate), key_to_pem(key))

    def sign_request(
        self,
        request: x509.CertificateSigningRequest,
        *,
        usages: Sequence[str],
        now: float,
        ttl_seconds: float,
    ) -> bytes:
        """A PEM certificate with the request's subject and names, for these usages only.

        Whether the request may have that subject is for the caller to decide. Raises ValueError
        for a request that its own key has not signed, and for unknown usages.
        """
        if not request.is_signature_valid:
            raise ValueError("certificate request is not signed by its own key")
        key = request.public_key()
        if not isinstance(key, PublicKey):
            raise ValueError("certificate request has an unsupported kind of key")
        certificate = self._sign(
            request.subject,
            key,
            requested_names(request),
            usages,
            now=now,
            ttl_seconds=ttl_seconds,
        )
        return certificate_to_pem(certificate)

    def has_signed(self, certificate: x509.Certificate) -> bool:
        """True if the certificate's signature is this CA's."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _sign(
        self,
        subject: x509.Name,
        key: PublicKey,
        names: Sequence[x509.GeneralName],
        usages: Iterable[str],
        *,
        now: float,
        ttl_seconds: float,
    ) -> x509.Certificate:
        until = min(now + ttl_seconds, self.certificate.not_valid_after_utc.timestamp())
        key_usages, extended = split_usages(usages)
        issuer_key = self._key.public_key()
        builder = (
            _builder(subject, self.certificate.subject, key, now=now, until=until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(key_usages or {"digital_signature"}), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
            )
        )
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def split_usages(usages: Iterable[str]) -> tuple[set[str], list[x509.ObjectIdentifier]]:
    """Key usages (as X.509 names them) and extended ones. Raises ValueError for unknown names."""
    key_usages: set[str] = set()
    extended: list[x509.ObjectIdentifier] = []
    for usage in usages:
        if usage in _KEY_USAGES:
            key_usages.add(_KEY_USAGES[usage])
        elif usage in _EXTENDED_USAGES:
            extended.append(_EXTENDED_USAGES[usage])
        else:
            raise ValueError(f'unrecognized usage "{usage}"')
    return key_usages, list(dict.fromkeys(extended))


def requested_names(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    """The subject alternative names that a request asks for."""
    try:
        extension = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(extension.value)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, *, now: float, until: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(int(now - BACKDATE_SECONDS), UTC))
        .not_valid_after(datetime.fromtimestamp(int(until), UTC))
    )


def _key_usage(names: set[str]) -> x509.KeyUsage:
    agreement = "key_agreement" in names
    return x509.KeyUsage(
        digital_signature="digital_signature" in names,
        content_commitment="content_commitment" in names,
        key_encipherment="key_encipherment" in names,
        data_encipherment="data_encipherment" in names,
        key_agreement=agreement,
        key_cert_sign="key_cert_sign" in names,
        crl_sign="crl_sign" in names,
        encipher_only=agreement and "encipher_only" in names,
        decipher_only=agreement and "decipher_only" in names,
    )
