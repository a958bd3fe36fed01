"""The two plugins, put together."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.server.admission.interface import Plugin
from sagong.server.admission.webhooks.calling import Caller
from sagong.server.admission.webhooks.conditions import compiler
from sagong.server.admission.webhooks.metrics import WebhookMetrics
from sagong.server.admission.webhooks.mutating import MutatingAdmissionWebhook
from sagong.server.admission.webhooks.validating import ValidatingAdmissionWebhook
from sagong.server.admission.webhooks.versions import Kinds
from sagong.server.authz.interface import Authorizer
from sagong.server.remote.posting import Poster


def admission_webhooks(
    kinds: Kinds,
    poster: Poster,
    clock: Clock,
    ids: Ids,
    registry: CollectorRegistry,
    authorizer: Authorizer,
) -> Sequence[Plugin]:
    """MutatingAdmissionWebhook and ValidatingAdmissionWebhook, in this order."""
    metrics = WebhookMetrics(registry)
    compile_conditions = compiler(authorizer)
    return (
        MutatingAdmissionWebhook(
            Caller(kinds, poster, clock, ids, metrics, "admit"), compile_conditions
        ),
        ValidatingAdmissionWebhook(
            Caller(kinds, poster, clock, ids, metrics, "validating"), compile_conditions
        ),
    )
