"""The plugins of a server, in upstream's recommended order (``kubeapiserver/options/plugins.go``).

Not served yet, and where they belong: PodTopologyLabels after DefaultTolerationSeconds;
ClusterTrustBundleAttest after CertificateSigning (its resource is not part of the stable API).
``OPTIONAL`` ones are off unless an administrator asks for them.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.server.admission.always_pull_images import AlwaysPullImages
from sagong.server.admission.certificates import (
    CertificateApproval,
    CertificateRequester,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from sagong.server.admission.configuration import DEFAULT, AdmissionSettings
from sagong.server.admission.default_toleration_seconds import DefaultTolerationSeconds
from sagong.server.admission.event_rate_limit import EventRateLimit
from sagong.server.admission.interface import Attributes, Plugin
from sagong.server.admission.limit_ranger import LimitRanger
from sagong.server.admission.namespace_lifecycle import NamespaceLifecycle
from sagong.server.admission.node_restriction import NodeRestriction
from sagong.server.admission.owner_references import (
    OfKind,
    OwnerReferencesPermissionEnforcement,
)
from sagong.server.admission.plugin import Mutating, Validating
from sagong.server.admission.pod_security.plugin import PodSecurity
from sagong.server.admission.priority import Priority
from sagong.server.admission.rbac_escalation import RbacEscalation, Resolver
from sagong.server.admission.resource_quota import ResourceQuota
from sagong.server.admission.runtime_class import RuntimeClass
from sagong.server.admission.service_account import ServiceAccount
from sagong.server.admission.storage_defaults import DefaultIngressClass, DefaultStorageClass
from sagong.server.admission.storage_protection import (
    PersistentVolumeClaimResize,
    StorageObjectInUseProtection,
)
from sagong.server.admission.taint_nodes import TaintNodesByCondition
from sagong.server.authz.interface import Authorizer
from sagong.server.handlers import Storage

Step = Callable[[Attributes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What plugins look at and ask beside the write itself.

    ``resolver`` is the RbacAuthorizer; ``storage`` gives the registry, which the plugins are a
    part of, once it is there: usage of quotas is stored through it. ``dynamic`` are those that
    objects configure: policies and webhooks, in their order.
    """

    authorizer: Authorizer
    resolver: Resolver
    storage: Callable[[], Storage]
    clock: Clock
    ids: Ids
    of_kind: OfKind
    dynamic: Sequence[Plugin] = ()


def default_plugins(
    around: Surroundings, settings: AdmissionSettings = DEFAULT
) -> Sequence[Plugin]:
    """All plugins that are on, in the order in which they admit and validate."""
    authorizer = around.authorizer
    plugins: Sequence[Plugin] = (
        AlwaysPullImages(),
        NamespaceLifecycle(),
        CertificateRequester(),
        LimitRanger(),
        ServiceAccount(around.ids),
        NodeRestriction(),
        TaintNodesByCondition(),
        PodSecurity(settings.pod_security),
        Priority(),
        DefaultTolerationSeconds(),
        DefaultStorageClass(),
        StorageObjectInUseProtection(),
        OwnerReferencesPermissionEnforcement(authorizer, around.of_kind),
        PersistentVolumeClaimResize(),
        RuntimeClass(),
        CertificateApproval(authorizer),
        CertificateSigning(authorizer),
        CertificateSubjectRestriction(),
        DefaultIngressClass(),
        EventRateLimit(settings.event_limits, around.clock),
        *around.dynamic,
        ResourceQuota(around.storage),
        RbacEscalation(authorizer, around.resolver),
    )
    return tuple(plugin for plugin in plugins if settings.is_on(plugin.name))


class Chain:
    """Plugins in order, as one. A write passes by those that have no say in its resource."""

    name = "chain"

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = tuple(plugins)
        # By version-less name of the resource, of which there are as many as are served.
        self._admitting: dict[str, tuple[Step, ...]] = {}
        self._validating: dict[str, tuple[Step, ...]] = {}

    async def admit(self, attributes: Attributes) -> None:
        resource = attributes.resource.name
        steps = self._admitting.get(resource)
        if steps is None:
            concerned = self._concerned(resource)
            steps = tuple(p.admit for p in concerned if not isinstance(p, Validating))
            self._admitting[resource] = steps
        for step in steps:
            await step(attributes)
        if attributes.is_again_wanted:  # upstream's reinvocation
            attributes.is_again = True
            for step in steps:
                await step(attributes)

    async def validate(self, attributes: Attributes) -> None:
        resource = attributes.resource.name
        steps = self._validating.get(resource)
        if steps is None:
            concerned = self._concerned(resource)
            steps = tuple(p.validate for p in concerned if not isinstance(p, Mutating))
            self._validating[resource] = steps
        for step in steps:
            await step(attributes)

    def _concerned(self, resource: str) -> Sequence[Plugin]:
        return [p for p in self.plugins if resource in getattr(p, "resources", (resource,))]
