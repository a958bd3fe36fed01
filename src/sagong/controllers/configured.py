"""Controllers that must be told something about the cluster; the others stand in ``table.py``."""

from collections.abc import Sequence
from dataclasses import dataclass

from sagong.api.address_pools import AddressPool
from sagong.controllers.apps import config_rollout, daemonset
from sagong.controllers.autoscaling import horizontal
from sagong.controllers.certificates import signing
from sagong.controllers.core import (
    account_tokens,
    load_balancer,
    node_ipam,
    published_ca,
    resourcequota,
    root_ca,
    service_ca,
)
from sagong.controllers.node import lifecycle, pod_gc, taint_eviction, ttl
from sagong.controllers.storage import attach_detach, local_provisioner
from sagong.ctl.controller import Controller, Reconcile


@dataclass(frozen=True, slots=True)
class Settings:
    """What the composition root knows and controllers need."""

    ca_certificate: str  # PEM
    signer: signing.Signer
    cluster_cidr: str = "10.244.0.0/16"
    node_prefix: int = 24
    node_grace_seconds: float = lifecycle.GRACE_SECONDS
    load_balancer_pools: Sequence[AddressPool] = ()  # none: the nodes' own addresses
    helper_image: str = "sagong.local/busybox:1"  # of the local provisioner's pods; needs a shell


def configured(settings: Settings) -> Sequence[tuple[Controller, Reconcile]]:
    """The table of controllers that these settings complete."""
    certificate = settings.ca_certificate
    return (
        (root_ca.CONTROLLER, published_ca.reconciler(root_ca.PUBLICATION, certificate)),
        (service_ca.CONTROLLER, published_ca.reconciler(service_ca.PUBLICATION, certificate)),
        (account_tokens.CONTROLLER, account_tokens.reconciler(certificate)),
        (
            node_ipam.CONTROLLER,
            node_ipam.reconciler(settings.cluster_cidr, settings.node_prefix),
        ),
        (load_balancer.CONTROLLER, load_balancer.reconciler(settings.load_balancer_pools)),
        (lifecycle.CONTROLLER, lifecycle.reconciler(settings.node_grace_seconds)),
        (daemonset.CONTROLLER, daemonset.reconciler()),
        (taint_eviction.CONTROLLER, taint_eviction.reconciler()),
        (attach_detach.CONTROLLER, attach_detach.reconciler()),
        (resourcequota.CONTROLLER, resourcequota.reconciler()),
        (horizontal.CONTROLLER, horizontal.reconciler()),
        (ttl.CONTROLLER, ttl.reconciler()),
        (pod_gc.CONTROLLER, pod_gc.reconciler()),
        (signing.CONTROLLER, signing.reconciler(settings.signer)),
        *config_rollout.MEMBERS,
        *local_provisioner.makers(settings.helper_image),
    )
