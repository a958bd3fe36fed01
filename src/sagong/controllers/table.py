"""All controllers that need no settings, each with its reconcile function.

The garbage collector is not of this shape (``garbage/collector.py``), and those that must be told
something stand in ``configured.py``.
"""

from sagong.controllers.admissionregistration import validatingadmissionpolicy
from sagong.controllers.apps import deployment, replicaset, statefulset
from sagong.controllers.batch import cronjob, job, ttl_after_finished
from sagong.controllers.bootstrap import signer, token_cleaner
from sagong.controllers.certificates import approving, cleaning
from sagong.controllers.core import (
    endpoints,
    event_expiry,
    namespace,
    replicationcontroller,
    serviceaccount,
    servicecidr,
)
from sagong.controllers.discovery import endpointslice, mirroring
from sagong.controllers.networking import ingress
from sagong.controllers.policy import poddisruptionbudget, stale_disruption
from sagong.controllers.rbac import aggregation
from sagong.controllers.resource import claim_making, claim_release
from sagong.controllers.storage import (
    attributes_protection,
    binder,
    ephemeral,
    expansion,
    protection,
    reclaiming,
)
from sagong.ctl.controller import Controller, Reconcile

CONTROLLERS: tuple[tuple[Controller, Reconcile], ...] = (
    (deployment.CONTROLLER, deployment.reconcile),
    (replicaset.CONTROLLER, replicaset.reconcile),
    (replicationcontroller.CONTROLLER, replicationcontroller.reconcile),
    (statefulset.CONTROLLER, statefulset.reconcile),
    (job.CONTROLLER, job.reconcile),
    (cronjob.CONTROLLER, cronjob.reconcile),
    (ttl_after_finished.CONTROLLER, ttl_after_finished.reconcile),
    (poddisruptionbudget.CONTROLLER, poddisruptionbudget.reconcile),
    (stale_disruption.CONTROLLER, stale_disruption.reconcile),
    (endpoints.CONTROLLER, endpoints.reconcile),
    (endpointslice.CONTROLLER, endpointslice.reconcile),
    (namespace.CONTROLLER, namespace.reconcile),
    (serviceaccount.CONTROLLER, serviceaccount.reconcile),
    (binder.CONTROLLER, binder.reconcile),
    (reclaiming.CONTROLLER, reclaiming.reconcile),
    (protection.CLAIM_CONTROLLER, protection.reconcile_claim),
    (protection.VOLUME_CONTROLLER, protection.reconcile_volume),
    (approving.CONTROLLER, approving.reconcile),
    (cleaning.CONTROLLER, cleaning.reconcile),
    (mirroring.CONTROLLER, mirroring.reconcile),
    (servicecidr.CONTROLLER, servicecidr.reconcile),
    (ingress.CONTROLLER, ingress.reconcile),
    (event_expiry.CONTROLLER, event_expiry.reconcile),
    (aggregation.CONTROLLER, aggregation.reconcile),
    (token_cleaner.CONTROLLER, token_cleaner.reconcile),
    (signer.CONTROLLER, signer.reconcile),
    (expansion.CONTROLLER, expansion.reconcile),
    (ephemeral.CONTROLLER, ephemeral.reconcile),
    (claim_making.CONTROLLER, claim_making.reconcile),
    (claim_release.CONTROLLER, claim_release.reconcile),
    (attributes_protection.CONTROLLER, attributes_protection.reconcile),
    (validatingadmissionpolicy.CONTROLLER, validatingadmissionpolicy.reconcile),
)
