"""Validating and mutating admission policies, and their bindings."""

from sagong.api.types import Obj
from sagong.server.kinds.admissionregistration.validation import (
    validate_mutating_policy,
    validate_policy_binding,
    validate_policy_status_update,
    validate_validating_binding,
    validate_validating_policy,
)
from sagong.server.kinds.admissionregistration.webhook_configuration import default_rule
from sagong.server.kinds.strategy import Strategy


def default_policy(policy: Obj) -> None:
    spec = policy.setdefault("spec", {})
    if spec.get("failurePolicy") is None:
        spec["failurePolicy"] = "Fail"
    if spec.get("matchConstraints") is not None:
        _default_match(spec["matchConstraints"])


def default_validating_policy(policy: Obj) -> None:
    default_policy(policy)
    policy.setdefault("status", {})


def default_binding(binding: Obj) -> None:
    match = binding.setdefault("spec", {}).get("matchResources")
    if match is not None:
        _default_match(match)


def _default_match(match: Obj) -> None:
    if match.get("matchPolicy") is None:
        match["matchPolicy"] = "Equivalent"
    for name in ("namespaceSelector", "objectSelector"):
        if match.get(name) is None:
            match[name] = {}
    for name in ("resourceRules", "excludeResourceRules"):
        for rule in match.get(name) or ():
            default_rule(rule)


VALIDATING = Strategy(
    validate=validate_validating_policy,
    validate_status_update=validate_policy_status_update,
    default=default_validating_policy,
    has_generation=True,
    unconditional_update=False,
)
MUTATING = Strategy(
    validate=validate_mutating_policy,
    default=default_policy,
    has_generation=True,
    unconditional_update=False,
    has_status=False,
)
VALIDATING_BINDING = Strategy(
    validate=validate_validating_binding,
    default=default_binding,
    has_generation=True,
    unconditional_update=False,
    has_status=False,
)
MUTATING_BINDING = Strategy(
    validate=validate_policy_binding,
    default=default_binding,
    has_generation=True,
    unconditional_update=False,
    has_status=False,
)
