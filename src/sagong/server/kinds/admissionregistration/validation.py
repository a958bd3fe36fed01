"""Validation of webhook configurations and admission policies.

What concerns CEL expressions is in ``expressions``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.selectors import validate_label_selector

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_FAILURE_POLICIES = ("Fail", "Ignore")
_MATCH_POLICIES = ("Equivalent", "Exact")
_SCOPES = ("*", "Cluster", "Namespaced")
_REINVOCATION = ("IfNeeded", "Never")
if TYPE_CHECKING:
    from sagong.server.kinds.admissionregistration.expressions import PolicyExpressions

_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_SPEC = Path("spec")


def validate_validating_webhooks(obj: Obj, errors: ErrorList) -> None:
    _validate_webhooks(obj, errors, mutating=False)


def validate_mutating_webhooks(obj: Obj, errors: ErrorList) -> None:
    _validate_webhooks(obj, errors, mutating=True)


def _validate_webhooks(obj: Obj, errors: ErrorList, *, mutating: bool) -> None:
    seen: set[str] = set()
    for i, webhook in enumerate(obj.get("webhooks") or ()):
        at = Path("webhooks").index(i)
        _validate_webhook(webhook, at, errors)
        if mutating and webhook.get("reinvocationPolicy") is not None:
            policy = webhook["reinvocationPolicy"]
            checks.one_of(policy, _REINVOCATION, at.child("reinvocationPolicy"), errors)
        _validate_versions(webhook, at.child("admissionReviewVersions"), errors)
        name = webhook.get("name") or ""
        if name in seen:
            errors.duplicate(at.child("name"), name)
        seen.add(name)


def _validate_webhook(webhook: Obj, path: Path, errors: ErrorList) -> None:
    name, where = webhook.get("name") or "", path.child("name")
    if checks.required(name, where, errors):
        wrong = names.dns1123_subdomain(name)
        for message in wrong:
            errors.invalid(where, name, message)
        if not wrong and len(name.split(".")) < 3:
            message = "should be a domain with at least three segments separated by dots"
            errors.invalid(where, name, message)
    for i, rule in enumerate(webhook.get("rules") or ()):
        _validate_rule(rule, path.child("rules").index(i), errors)
    policy = webhook.get("failurePolicy")
    if policy is not None:
        checks.one_of(policy, _FAILURE_POLICIES, path.child("failurePolicy"), errors)
    if webhook.get("matchPolicy") is not None:
        match = webhook["matchPolicy"]
        checks.one_of(match, _MATCH_POLICIES, path.child("matchPolicy"), errors)
    effects, at = webhook.get("sideEffects"), path.child("sideEffects")
    if effects is None:
        errors.required(at, "must specify one of None, NoneOnDryRun")
    else:
        checks.one_of(effects, ("None", "NoneOnDryRun"), at, errors)
    seconds = webhook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        message = "the timeout value must be between 1 and 30 seconds"
        errors.invalid(path.child("timeoutSeconds"), seconds, message)
    for field in ("namespaceSelector", "objectSelector"):
        validate_label_selector(webhook.get(field), path.child(field), errors)
    validate_client(webhook.get("clientConfig") or {}, path.child("clientConfig"), errors)
    if webhook.get("matchConditions"):
        # Imported here: a server without policies does without CEL.
        from sagong.server.kinds.admissionregistration.expressions import validate_conditions

        validate_conditions(webhook, path.child("matchConditions"), errors)


def _validate_versions(webhook: Obj, path: Path, errors: ErrorList) -> None:
    versions = webhook.get("admissionReviewVersions") or []
    if not versions:
        errors.required(path, "must specify one of v1, v1beta1")
        return
    for i, version in enumerate(versions):
        checks.dns_label_1035(version, path.index(i), errors)
        if version in versions[:i]:
            errors.invalid(path.index(i), version, "duplicate version")
    if not {"v1", "v1beta1"} & set(versions):
        message = "must include at least one of v1, v1beta1"
        errors.invalid(path, versions, message)


def validate_client(config: Obj, path: Path, errors: ErrorList) -> None:
    """How a webhook is reached: a URL or a service, not both."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        errors.required(path, "exactly one of url or service is required")
    elif url is not None:
        _validate_url(url, path.child("url"), errors)
    elif service is not None:
        at = path.child("service")
        for field in ("name", "namespace"):
            message = f"service {field} is required"
            checks.required(service.get(field), at.child(field), errors, message)
        port = service.get("port", 443)
        if not 1 <= port <= 65535:
            message = "port is not valid: must be between 1 and 65535, inclusive"
            errors.invalid(at.child("port"), port, message)
        target = service.get("path")
        if target is not None and not target.startswith("/"):
            errors.invalid(at.child("path"), target, "must start with a '/'")


def _validate_url(url: str, path: Path, errors: ErrorList) -> None:
    form = "; desired format: https://host[/path]"
    parts = urlsplit(url)
    if parts.scheme != "https":
        message = f"'https' is the only allowed URL scheme{form}"
        errors.invalid(path, parts.scheme, message)
    if not parts.netloc:
        errors.invalid(path, "", f"host must be specified{form}")
    if "@" in parts.netloc:
        user = parts.netloc.rpartition("@")[0]
        errors.invalid(path, user, f"user information is not permitted in the URL{form}")
    if parts.fragment:
        errors.invalid(path, parts.fragment, f"fragments are not permitted in the URL{form}")
    if parts.query:
        errors.invalid(path, parts.query, "query parameters are not permitted in the URL")


def _validate_rule(rule: Obj, path: Path, errors: ErrorList) -> None:
    operations, where = rule.get("operations") or [], path.child("operations")
    checks.required(operations, where, errors)
    if len(operations) > 1 and "*" in operations:
        errors.invalid(where, operations, "if '*' is present, must not specify other operations")
    for i, operation in enumerate(operations):
        checks.one_of(operation, _OPERATIONS, where.index(i), errors)
    _validate_word_list(rule.get("apiGroups") or [], "API groups", path.child("apiGroups"), errors)
    versions, at = rule.get("apiVersions") or [], path.child("apiVersions")
    _validate_word_list(versions, "API versions", at, errors)
    for i, version in enumerate(versions):
        checks.required(version, at.index(i), errors)
    _validate_resources(rule.get("resources") or [], path.child("resources"), errors)
    if rule.get("scope") is not None:
        checks.one_of(rule["scope"], _SCOPES, path.child("scope"), errors)


def _validate_word_list(words: Sequence[str], what: str, path: Path, errors: ErrorList) -> None:
    checks.required(words, path, errors)
    if len(words) > 1 and "*" in words:
        errors.invalid(path, words, f"if '*' is present, must not specify other {what}")


def _validate_resources(resources: Sequence[str], path: Path, errors: ErrorList) -> None:
    checks.required(resources, path, errors)
    for i, resource in enumerate(resources):
        checks.required(resource, path.index(i), errors)
    if "*/*" in resources and len(resources) > 1:
        message = "if '*/*' is present, must not specify other resources"
        errors.invalid(path, resources, message)
    elif "*" in resources and any("/" not in r for r in resources if r != "*"):
        message = "if '*' is present, must not specify other resources without subresources"
        errors.invalid(path, resources, message)


def validate_validating_policy(policy: Obj, errors: ErrorList) -> None:
    spec = policy["spec"]
    expressions = _expressions(spec, errors, mutates=False)
    _validate_policy(spec, expressions, errors)
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        message = "validations or auditAnnotations must contain at least one item"
        errors.required(_SPEC.child("validations"), message)
        errors.required(_SPEC.child("auditAnnotations"), message)
    for i, validation in enumerate(validations):
        at = _SPEC.child("validations").index(i)
        expressions.validation(validation, at)
        _validate_message(validation, at, errors)
        reason = validation.get("reason")
        if reason is not None:
            checks.one_of(reason, _REASONS, at.child("reason"), errors)
    keys: set[str] = set()
    for i, annotation in enumerate(annotations):
        at, key = _SPEC.child("auditAnnotations").index(i), annotation.get("key") or ""
        name = f"{policy['metadata'].get('name') or ''}/{key}"
        if checks.required(key, at.child("key"), errors, "key is not specified"):
            checks.qualified_name(name, at.child("key"), errors)
            if key in keys:
                errors.duplicate(at.child("key"), key)
            keys.add(key)
        expressions.audit_annotation(annotation, at)


def _validate_message(validation: Obj, path: Path, errors: ErrorList) -> None:
    message = validation.get("message") or ""
    if message and not message.strip():
        errors.invalid(path.child("message"), message, "message must be non-empty if specified")
    elif "\n" in message.strip():
        errors.invalid(path.child("message"), message, "message must not contain line breaks")
    elif "\n" in (validation.get("expression") or "").strip() and not message:
        why = "message must be specified if expression contains line breaks"
        errors.required(path.child("message"), why)


def _expressions(spec: Obj, errors: ErrorList, *, mutates: bool) -> "PolicyExpressions":
    from sagong.server.kinds.admissionregistration.expressions import PolicyExpressions

    return PolicyExpressions(spec, errors, mutates=mutates)


def validate_mutating_policy(policy: Obj, errors: ErrorList) -> None:
    spec = policy["spec"]
    expressions = _expressions(spec, errors, mutates=True)
    _validate_policy(spec, expressions, errors)
    mutations = spec.get("mutations") or []
    message = "mutations must contain at least one item"
    checks.required(mutations, _SPEC.child("mutations"), errors, message)
    for i, mutation in enumerate(mutations):
        expressions.mutation(mutation, _SPEC.child("mutations").index(i))
    where = _SPEC.child("reinvocationPolicy")
    if checks.required(spec.get("reinvocationPolicy"), where, errors):
        checks.one_of(spec["reinvocationPolicy"], _REINVOCATION, where, errors)


def _validate_policy(spec: Obj, expressions: "PolicyExpressions", errors: ErrorList) -> None:
    where = _SPEC.child("failurePolicy")
    if checks.required(spec.get("failurePolicy"), where, errors):
        checks.one_of(spec["failurePolicy"], _FAILURE_POLICIES, where, errors)
    kind = spec.get("paramKind")
    if kind is not None:
        at = _SPEC.child("paramKind")
        checks.required(kind.get("apiVersion"), at.child("apiVersion"), errors)
        checks.required(kind.get("kind"), at.child("kind"), errors)
    constraints = spec.get("matchConstraints")
    if constraints is None:
        errors.required(_SPEC.child("matchConstraints"))
    else:
        at = _SPEC.child("matchConstraints")
        _validate_match(constraints, at, errors, rules_required=True)
    expressions.conditions(spec, _SPEC.child("matchConditions"))
    expressions.variables(spec, _SPEC.child("variables"))


def _validate_match(match: Obj, path: Path, errors: ErrorList, *, rules_required: bool) -> None:
    if match.get("matchPolicy") is not None:
        policy = match["matchPolicy"]
        checks.one_of(policy, _MATCH_POLICIES, path.child("matchPolicy"), errors)
    for field in ("namespaceSelector", "objectSelector"):
        validate_label_selector(match.get(field), path.child(field), errors)
    if rules_required:
        checks.required(match.get("resourceRules"), path.child("resourceRules"), errors)
    for field in ("resourceRules", "excludeResourceRules"):
        for i, rule in enumerate(match.get(field) or ()):
            _validate_rule(rule, path.child(field).index(i), errors)


def validate_policy_binding(binding: Obj, errors: ErrorList) -> None:
    """A binding of either kind of policy."""
    spec = binding["spec"]
    where = _SPEC.child("policyName")
    if checks.required(spec.get("policyName"), where, errors):
        checks.dns_subdomain(spec["policyName"], where, errors)
    reference = spec.get("paramRef")
    if reference is not None:
        _validate_parameters(reference, _SPEC.child("paramRef"), errors)
    if spec.get("matchResources") is not None:
        at = _SPEC.child("matchResources")
        _validate_match(spec["matchResources"], at, errors, rules_required=False)


def validate_validating_binding(binding: Obj, errors: ErrorList) -> None:
    validate_policy_binding(binding, errors)
    actions, where = binding["spec"].get("validationActions") or [], "validationActions"
    checks.required(actions, _SPEC.child(where), errors)
    seen: set[str] = set()
    for i, action in enumerate(actions):
        checks.one_of(action, ("Audit", "Deny", "Warn"), _SPEC.child(where).index(i), errors)
        if action in seen:
            errors.duplicate(_SPEC.child(where).index(i), action)
        seen.add(action)
    if {"Deny", "Warn"} <= seen:
        message = "must not contain both Deny and Warn (repeating the same validation failure "
        errors.invalid(
            _SPEC.child(where), actions, f"{message}information in the API response and headers)"
        )


def _validate_parameters(reference: Obj, path: Path, errors: ErrorList) -> None:
    name, selector = reference.get("name"), reference.get("selector")
    if name and selector is not None:
        message = "name and selector are mutually exclusive"
        errors.forbidden(path.child("name"), message)
    elif not name and selector is None:
        errors.required(path, "one of name or selector must be specified")
    if name:
        checks.name(name, names.path_segment_name, path.child("name"), errors)
    validate_label_selector(selector, path.child("selector"), errors)
    where = path.child("parameterNotFoundAction")
    action = reference.get("parameterNotFoundAction")
    if checks.required(action, where, errors):
        checks.one_of(action, ("Allow", "Deny"), where, errors)
