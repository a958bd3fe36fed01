"""Identity and access of a server, put together: who asks, who may, what a write must obey.

Authorisers and plugins read the server's own caches, which exist only once the server has been
assembled from them; so this is made first and connected when the server's core is there:

    access = make_access(key_pem=pki.service_account_key_pem, clock=clock, ids=ids, tokens=users)
    parts = Parts(..., access.authenticator, access.authorizer, access.plugins, access.handlers)
    async with api_server(parts) as core:
        access.connect(lister=core.caches, storage=registry, schemas=core.schemas)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api.schema import Schemas
from sagong.api.types import Encoded, User
from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.core.invariant import invariant
from sagong.server.admission.chain import default_plugins
from sagong.server.admission.interface import Lister, Plugin
from sagong.server.authn.bootstrap_tokens import BootstrapTokenAuthenticator
from sagong.server.authn.service_accounts import (
    ISSUER,
    ServiceAccountAuthenticator,
    TokenIssuer,
)
from sagong.server.authn.static_tokens import StaticTokenAuthenticator
from sagong.server.authn.union import UnionAuthenticator
from sagong.server.authn.x509 import X509Authenticator
from sagong.server.authz.node import NodeAuthorizer
from sagong.server.authz.rbac import RbacAuthorizer
from sagong.server.authz.union import UnionAuthorizer
from sagong.server.handlers import Handler, Storage
from sagong.server.reviews.table import reviews


class LateLister:
    """A Lister that is given its objects later; empty until then."""

    def __init__(self) -> None:
        self.target: Lister | None = None

    def get(self, resource: str, namespace: str, name: str) -> Encoded | None:
        return self.target.get(resource, namespace, name) if self.target else None

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Encoded]:
        return self.target.list(resource, namespace) if self.target else ()

    def version(self, resource: str) -> int:
        """One more than the target's, so that being connected is itself a change."""
        return self.target.version(resource) + 1 if self.target else 0


@dataclass(slots=True)
class Access:
    """The parts of a server that decide. Call ``connect`` before the first request."""

    authenticator: UnionAuthenticator
    authorizer: UnionAuthorizer
    rbac: RbacAuthorizer
    issuer: TokenIssuer
    plugins: Sequence[Plugin] = ()
    # Filled by ``connect``: reviews, serviceaccounts/token, CSR approval.
    handlers: dict[tuple[str, str], Handler] = field(default_factory=dict)
    _lister: LateLister = field(default_factory=LateLister)
    _storage: Storage | None = None

    def connect(self, *, lister: Lister, storage: Storage, schemas: Schemas) -> None:
        self._lister.target = lister
        self._storage = storage
        self.handlers.update(
            reviews(
                schemas=schemas,
                resolver=self.rbac,
                issuer=self.issuer,
                api_audiences=self.authenticator.api_audiences,
            )
        )

    def storage(self) -> Storage:
        invariant(self._storage is not None, "access was used before it was connected")
        assert self._storage is not None
        return self._storage


def make_access(
    *,
    key_pem: bytes,
    clock: Clock,
    ids: Ids,
    tokens: Mapping[str, User] | None = None,
    api_audiences: Sequence[str] = (ISSUER,),
    anonymous: bool = True,
) -> Access:
    """``key_pem`` signs service-account tokens; ``tokens`` are an administrator's static ones."""
    lister = LateLister()
    issuer = TokenIssuer(key_pem, clock, ids)
    accounts = ServiceAccountAuthenticator([issuer.public_key], lister, clock)
    authenticator = UnionAuthenticator(
        [X509Authenticator()],
        [
            StaticTokenAuthenticator(tokens or {}),
            accounts,
            BootstrapTokenAuthenticator(lister, clock),
        ],
        api_audiences=api_audiences,
        anonymous=anonymous,
    )
    rbac = RbacAuthorizer(lister)
    authorizer = UnionAuthorizer([NodeAuthorizer(lister), rbac])
    access = Access(authenticator, authorizer, rbac, issuer, _lister=lister)
    access.plugins = default_plugins(
        authorizer=authorizer, resolver=rbac, storage=access.storage, ids=ids
    )
    return access
