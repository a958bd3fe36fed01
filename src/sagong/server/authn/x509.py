"""Client certificates: the common name is the user, the organizations are its groups.

Source of semantics: apiserver's ``pkg/authentication/request/x509`` (CommonNameUserConversion).
"""

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from sagong.api.types import User
from sagong.server.authn.interface import Credentials, in_authenticated_group

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"

# Certificates remembered with their users. Past it the oldest is read again when it comes back.
CERTIFICATES_MAX = 4096

_UID_OID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")


class X509Authenticator:
    """Reads users from certificates whose chain the TLS layer has verified."""

    def __init__(self) -> None:
        self._users: dict[x509.Certificate, User | None] = {}

    async def authenticate(self, credentials: Credentials) -> User | None:
        certificate = credentials.client_certificate
        if certificate is None:
            return None
        if certificate not in self._users:
            if len(self._users) >= CERTIFICATES_MAX:
                del self._users[next(iter(self._users))]
            self._users[certificate] = user_of(
                certificate, certificate.fingerprint(hashes.SHA256())
            )
        return self._users[certificate]


def user_of(certificate: x509.Certificate, fingerprint: bytes) -> User | None:
    """The user that a certificate names; None without a common name."""
    name = _values(certificate, NameOID.COMMON_NAME)
    if not name or not name[0]:
        return None
    return User(
        name=name[0],
        uid=next(iter(_values(certificate, _UID_OID)), ""),
        # In the group of all who are known beforehand, so that no request has to be put into it.
        groups=in_authenticated_group(_values(certificate, NameOID.ORGANIZATION_NAME)),
        extra={CREDENTIAL_ID: (f"X509SHA256={fingerprint.hex()}",)},
    )


def _values(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(a.value) for a in certificate.subject.get_attributes_for_oid(oid)]
