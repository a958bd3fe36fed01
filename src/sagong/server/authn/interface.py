"""The seam between HTTP and authentication."""

from dataclasses import dataclass
from typing import Protocol

from cryptography import x509

from sagong.api.types import User

ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))
AUTHENTICATED_GROUP = "system:authenticated"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows of its sender."""

    bearer_token: str = ""
    # The verified client certificate (the TLS layer has checked its chain), or None.
    client_certificate: x509.Certificate | None = None


class Authenticator(Protocol):
    """One method of authentication. Groups do not yet include system:authenticated."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        """The user; None if these credentials are not of this method's kind.

        Raises Unauthorized if they are, and are bad (expired, wrong audience, forged).
        """
        ...
