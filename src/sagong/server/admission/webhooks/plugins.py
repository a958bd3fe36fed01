"""The two plugins, put together."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from sagong.server.admission.interface import Plugin
from sagong.server.admission.webhooks.calling import Caller, Means
from sagong.server.admission.webhooks.metrics import WebhookMetrics
from sagong.server.admission.webhooks.mutating import MutatingAdmissionWebhook
from sagong.server.admission.webhooks.validating import ValidatingAdmissionWebhook


def admission_webhooks(means: Means, registry: CollectorRegistry) -> Sequence[Plugin]:
    """MutatingAdmissionWebhook and ValidatingAdmissionWebhook, in this order."""
    metrics = WebhookMetrics(registry)
    return (
        MutatingAdmissionWebhook(Caller(means, metrics, "admit")),
        ValidatingAdmissionWebhook(Caller(means, metrics, "validating")),
    )
