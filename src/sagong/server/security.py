"""Authentication, authorisation, admission and allocation of a real server, put together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from sagong.api.call import Answer, Call
from sagong.api.types import Obj, User
from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.server.access import DEFAULT as DEFAULT_ACCESS
from sagong.server.access import Access, AccessSettings
from sagong.server.admission.chain import Surroundings as AdmissionSurroundings
from sagong.server.admission.chain import default_plugins
from sagong.server.admission.configuration import DEFAULT as DEFAULT_ADMISSION
from sagong.server.admission.configuration import AdmissionSettings
from sagong.server.admission.policies.authorization import PolicyParameters
from sagong.server.admission.policies.index import Around
from sagong.server.admission.policies.mutating import MutatingAdmissionPolicy
from sagong.server.admission.policies.validating import ValidatingAdmissionPolicy
from sagong.server.admission.webhooks.calling import Means
from sagong.server.admission.webhooks.plugins import admission_webhooks
from sagong.server.allocation.service_allocator import ServiceAllocator
from sagong.server.assembly import Security, SecurityBuilder, Surroundings
from sagong.server.authn.service_accounts import ISSUER, TokenIssuer
from sagong.server.handlers import Facet, Storage
from sagong.server.pki.authority import key_from_pem
from sagong.server.reviews.table import reviews

NODE_PORTS = range(30000, 32768)  # upstream's default --service-node-port-range


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """What a server's security depends on besides its objects."""

    clock: Clock
    ids: Ids
    service_cidr: str
    static_tokens: Mapping[str, User]
    account_key_pem: bytes  # private; signs and checks the tokens of service accounts
    access: AccessSettings = DEFAULT_ACCESS
    admission: AdmissionSettings = DEFAULT_ADMISSION


class LaterStorage:
    """The registry, for parts that are made before it."""

    def __init__(self, storage: Callable[[], Storage]) -> None:
        self._storage = storage

    async def execute(self, call: Call, user: User) -> Answer:
        return await self._storage().execute(call, user)

    async def modify(
        self,
        call: Call,
        user: User,
        change: Callable[[Obj], Obj],
        *,
        subresource: str,
        facet: Facet | None = None,
    ) -> Answer:
        storage = self._storage()
        return await storage.modify(call, user, change, subresource=subresource, facet=facet)

    async def remove(self, call: Call, user: User) -> Answer:
        return await self._storage().remove(call, user)


def security_builder(settings: SecuritySettings) -> SecurityBuilder:
    """Makes the security of one server once its caches are there."""

    def build(around: Surroundings) -> Security:
        clock, ids = settings.clock, settings.ids
        lister, storage = around.lister, around.storage
        access = Access(settings.access, lister, clock)
        key = _public_key(settings)
        authorizer = access.authorizer()
        means = Means(around.kinds, around.poster, clock, ids, authorizer)
        mutating, validating = admission_webhooks(means, around.metrics)
        policies = Around(around.kinds, around.resources, authorizer)
        plugins = default_plugins(
            AdmissionSurroundings(
                authorizer=authorizer,
                resolver=access.rbac,
                storage=storage,
                clock=clock,
                ids=ids,
                of_kind=around.resources.of_kind,
                dynamic=(
                    MutatingAdmissionPolicy(policies),
                    mutating,
                    ValidatingAdmissionPolicy(policies),
                    validating,
                    PolicyParameters(around.resources, authorizer),
                ),
            ),
            settings.admission,
        )
        allocator = ServiceAllocator(
            LaterStorage(storage),
            lister,
            cidr=settings.service_cidr,
            port_range=NODE_PORTS,
            ids=ids,
        )
        return Security(
            authenticator=access.authenticator(settings.static_tokens, key),
            anonymous_paths=settings.access.authentication.anonymous.paths,
            authorizer=authorizer,
            plugins=(*plugins, allocator),
            handlers=reviews(
                schemas=around.schemas,
                resolver=access.rbac,
                issuer=TokenIssuer(settings.account_key_pem, clock, ids),
                api_audiences=[ISSUER],
            ),
            settlers={"services": allocator},
            allocator=allocator,
            token_keys=[key],
            closing=access.closing,
        )

    return build


def _public_key(settings: SecuritySettings) -> ec.EllipticCurvePublicKey:
    key = key_from_pem(settings.account_key_pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the service-account key is not an elliptic-curve key")
    return key.public_key()
