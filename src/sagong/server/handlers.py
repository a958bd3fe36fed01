"""The seam for requests that are not plain storage: subresources and virtual resources.

Reviews (TokenReview, SubjectAccessReview, ...) store nothing; binding, eviction, token, approval,
scale and their like act on another object. Each is one handler in one file, listed in a table that
the composition root hands to the server. Authorisation has already been done when a handler runs.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sagong.api.call import Answer, Call
from sagong.api.types import Obj, User
from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.server.admission.interface import Lister
from sagong.server.authn.interface import Authenticator
from sagong.server.authz.interface import Authorizer


@dataclass(frozen=True, slots=True)
class Facet:
    """What a subresource shows of an object (a Scale), and how a changed one is taken over."""

    show: Callable[[Obj], Obj]
    take: Callable[[Obj, Obj], None]  # (the object, which this changes; the changed facet)


class Storage(Protocol):
    """Reads and writes of stored resources with admission and validation, without authorisation."""

    async def execute(self, call: Call, user: User) -> Answer:
        """Carry out a call on a stored resource (main resource or status)."""
        ...

    async def modify(
        self,
        call: Call,
        user: User,
        change: Callable[[Obj], Obj],
        *,
        subresource: str,
        facet: Facet | None = None,
    ) -> Answer:
        """Read the object ``call`` names, ``change`` a copy of it, store it; retried on conflict.

        ``change`` may raise ``api.errors``. Goes through admission as an UPDATE of
        ``subresource`` and honours dry run. Admission sees the ``facet`` of the object, if given.
        """
        ...

    async def remove(self, call: Call, user: User) -> Answer:
        """Delete without admission, which has been asked about what leads to it (an eviction)."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may use."""

    storage: Storage
    lister: Lister
    authenticator: Authenticator
    authorizer: Authorizer
    clock: Clock
    ids: Ids


Handler = Callable[[Call, User, Context], Awaitable[Answer]]

# By version-less resource name and subresource ("" for a virtual resource).
HandlerTable = Mapping[tuple[str, str], Handler]
