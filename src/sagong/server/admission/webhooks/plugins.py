"""The two plugins, put together."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from sagong.api.types import Obj
from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.server.admission.interface import Attributes, Plugin
from sagong.server.admission.webhooks.calling import Caller
from sagong.server.admission.webhooks.hooks import Conditions, ConditionsFailed
from sagong.server.admission.webhooks.metrics import WebhookMetrics
from sagong.server.admission.webhooks.mutating import MutatingAdmissionWebhook
from sagong.server.admission.webhooks.validating import ValidatingAdmissionWebhook
from sagong.server.admission.webhooks.versions import Kinds
from sagong.server.remote.posting import Poster


def admission_webhooks(
    kinds: Kinds, poster: Poster, clock: Clock, ids: Ids, registry: CollectorRegistry
) -> Sequence[Plugin]:
    """MutatingAdmissionWebhook and ValidatingAdmissionWebhook, in this order."""
    metrics = WebhookMetrics(registry)
    return (
        MutatingAdmissionWebhook(
            Caller(kinds, poster, clock, ids, metrics, "admit"), compile_conditions
        ),
        ValidatingAdmissionWebhook(
            Caller(kinds, poster, clock, ids, metrics, "validating"), compile_conditions
        ),
    )


class _Unknown:
    """Conditions in a language that nobody here speaks yet: they cannot be evaluated."""

    def __init__(self, *, fails_open: bool) -> None:
        self._fails_open = fails_open

    async def match(self, attributes: Attributes, obj: Obj | None, old: Obj | None) -> bool:
        if self._fails_open:
            return False
        raise ConditionsFailed("match conditions are not supported")


def compile_conditions(conditions: Sequence[Obj], fails_open: bool) -> Conditions:
    return _Unknown(fails_open=fails_open)
