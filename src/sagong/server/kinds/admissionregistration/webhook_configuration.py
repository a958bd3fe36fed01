"""Validating and mutating webhook configurations."""

from sagong.api.types import Obj
from sagong.server.kinds.admissionregistration.validation import (
    validate_mutating_webhooks,
    validate_validating_webhooks,
)
from sagong.server.kinds.strategy import Strategy


def default_validating(obj: Obj) -> None:
    for webhook in obj.get("webhooks") or ():
        _default_webhook(webhook)


def default_mutating(obj: Obj) -> None:
    for webhook in obj.get("webhooks") or ():
        _default_webhook(webhook)
        if webhook.get("reinvocationPolicy") is None:
            webhook["reinvocationPolicy"] = "Never"


def _default_webhook(webhook: Obj) -> None:
    for name, value in (("failurePolicy", "Fail"), ("matchPolicy", "Equivalent")):
        if webhook.get(name) is None:
            webhook[name] = value
    for name in ("namespaceSelector", "objectSelector"):
        if webhook.get(name) is None:
            webhook[name] = {}
    if webhook.get("timeoutSeconds") is None:
        webhook["timeoutSeconds"] = 10
    service = webhook.setdefault("clientConfig", {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443
    for rule in webhook.get("rules") or ():
        default_rule(rule)


def default_rule(rule: Obj) -> None:
    if rule.get("scope") is None:
        rule["scope"] = "*"


VALIDATING = Strategy(
    validate=validate_validating_webhooks,
    default=default_validating,
    has_generation=True,
    unconditional_update=False,
    has_status=False,
)
MUTATING = Strategy(
    validate=validate_mutating_webhooks,
    default=default_mutating,
    has_generation=True,
    unconditional_update=False,
    has_status=False,
)
