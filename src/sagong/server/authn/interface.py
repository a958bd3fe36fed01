"""The seam between HTTP and authentication."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from cryptography import x509

from sagong.api.errors import Unauthorized
from sagong.api.types import User

ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))
AUTHENTICATED_GROUP = "system:authenticated"
UNAUTHENTICATED_GROUP = "system:unauthenticated"


class Credentials(NamedTuple):  # made for every request
    """What a request shows of its sender."""

    bearer_token: str = ""
    # The verified client certificate (the TLS layer has checked its chain), or None.
    client_certificate: x509.Certificate | None = None


def in_authenticated_group(groups: Iterable[str]) -> tuple[str, ...]:
    """The groups and system:authenticated, unless one of the two that everybody is in is there."""
    known = tuple(groups)
    if AUTHENTICATED_GROUP in known or UNAUTHENTICATED_GROUP in known:
        return known
    return (*known, AUTHENTICATED_GROUP)


class Authenticator(Protocol):
    """One method of authentication. Groups need not yet include system:authenticated."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        """The user; None if these credentials are not of this method's kind.

        Raises Unauthorized if they are, and are bad (expired, wrong audience, forged).
        """
        ...


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A token's user, and those of the asked-for audiences for which the token is meant."""

    user: User
    audiences: tuple[str, ...] = ()


class BadToken(Unauthorized):
    """A token of a method's kind that is no good. Clients see only "Unauthorized"."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


@runtime_checkable
class TokenAuthenticator(Protocol):
    """One kind of bearer token; the union of all kinds is one as well."""

    async def authenticate_token(
        self, token: str, audiences: Sequence[str]
    ) -> Authenticated | None:
        """Whose token it is, if it is meant for one of ``audiences``; None if not of this kind.

        Raises BadToken if it is of this kind, and is bad.
        """
        ...
