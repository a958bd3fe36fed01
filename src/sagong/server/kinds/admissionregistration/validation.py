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
from sagong.server.kinds.conditions import validate_conditions
from sagong.server.kinds.selectors import validate_label_selector

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_FAILURE_POLICIES = ("Fail", "Ignore")
_MATCH_POLICIES = ("Equivalent", "Exact")
_SCOPES = ("*", "Cluster", "Namespaced")
_REINVOCATION = ("IfNeeded", "Never")
if TYPE_CHECKING:
    from sagong.server.kinds.admissionregistration.expressions import PolicyExpressions

_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_ANNOTATIONS_MAX = 20
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
        if name and name in seen:
            errors.duplicate(at.child("name"), name)
        seen.add(name)


def _validate_webhook(webhook: Obj, path: Path, errors: ErrorList) -> None:
    name, where = webhook.get("name") or "", path.child("name")
    if checks.required(name, where, errors):
        wrong = names.dns1123_subdomain(name)
        if wrong:
            errors.invalid(where, name, ",".join(wrong))
        elif len(name.split(".")) < 3:
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
    if not effects:
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
        if version in versions[:i]:
            errors.invalid(path.index(i), version, "duplicate version")
            continue
        checks.dns_label_1035(version, path.index(i), errors)
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
        _validate_service_path(service.get("path") or "/", at.child("path"), errors)


def _validate_service_path(text: str, path: Path, errors: ErrorList) -> None:
    """Segments that are subdomains, with a slash at the end or without."""
    if text == "/":
        return
    if text == "//":
        errors.invalid(path, text, "segment[0] may not be empty")
        return
    if not text.startswith("/"):
        errors.invalid(path, text, "must start with a '/'")
    for i, segment in enumerate(text[1:].removesuffix("/").split("/")):
        if not segment:
            errors.invalid(path, text, f"segment[{i}] may not be empty")
            continue
        for message in names.dns1123_subdomain(segment):
            errors.invalid(path, text, f"segment[{i}]: {message}")


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
        errors.invalid(path, user, "user information is not permitted in the URL")
    if parts.fragment:
        errors.invalid(path, parts.fragment, "fragments are not permitted in the URL")
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
    """``pods``, ``pods/status``, and wildcards that do not cover what else is named."""
    checks.required(resources, path, errors)
    whole: set[str] = set()  # resources of which all subresources are named
    everywhere: set[str] = set()  # subresources that are named of all resources
    plain = False
    for i, named in enumerate(resources):
        if not checks.required(named, path.index(i), errors):
            continue
        resource, slash, part = named.partition("/")
        if not slash:
            plain = named != "*"
            continue
        if resource in whole:
            message = f"if '{resource}/*' is present, must not specify {named}"
            errors.invalid(path.index(i), named, message)
        if part in everywhere:
            message = f"if '*/{part}' is present, must not specify {named}"
            errors.invalid(path.index(i), named, message)
        if part == "*":
            whole.add(resource)
        if resource == "*":
            everywhere.add(part)
    if "*/*" in resources and len(resources) > 1:
        message = "if '*/*' is present, must not specify other resources"
        errors.invalid(path, resources, message)
    if "*" in resources and plain:
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
    if len(annotations) > _ANNOTATIONS_MAX:
        message = f"must not have more than {_ANNOTATIONS_MAX} auditAnnotations"
        errors.invalid(_SPEC.child("auditAnnotations"), annotations, message)
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
        checks.qualified_name(name, at.child("key"), errors)
        if key in keys:
            errors.duplicate(at.child("key"), key)
        keys.add(key)
        expressions.audit_annotation(annotation, at)


def _validate_message(validation: Obj, path: Path, errors: ErrorList) -> None:
    message = validation.get("message") or ""
    if message and not message.strip():
        errors.invalid(path.child("message"), message, "message must be non-empty if specified")
    elif {"\n", "\r"} & set(message.strip()):
        errors.invalid(path.child("message"), message, "message must not contain line breaks")


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
        _validate_parameter_kind(kind, _SPEC.child("paramKind"), errors)
    constraints = spec.get("matchConstraints")
    if constraints is None:
        errors.required(_SPEC.child("matchConstraints"))
    else:
        at = _SPEC.child("matchConstraints")
        _validate_match(constraints, at, errors, rules_required=True)
    expressions.conditions(spec, _SPEC.child("matchConditions"))
    expressions.variables(spec, _SPEC.child("variables"))


def _validate_parameter_kind(kind: Obj, path: Path, errors: ErrorList) -> None:
    api_version, where = kind.get("apiVersion") or "", path.child("apiVersion")
    if api_version.count("/") > 1:
        errors.invalid(where, api_version, f"unexpected GroupVersion string: {api_version}")
    elif checks.required(api_version, where, errors):
        group, _, version = api_version.rpartition("/")
        if group and (wrong := names.dns1123_subdomain(group)):
            errors.invalid(where, group, ",".join(wrong))
        if not version:
            errors.invalid(where, api_version, "version must be specified")
        elif wrong := names.dns1035_label(version):
            errors.invalid(where, version, ",".join(wrong))
    name, where = kind.get("kind") or "", path.child("kind")
    if checks.required(name, where, errors) and (wrong := names.dns1035_label(name.lower())):
        message = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
        errors.invalid(where, name, message)


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
            at = path.child(field).index(i)
            _validate_object_names(rule.get("resourceNames") or [], at, errors)
            _validate_rule(rule, at, errors)


def _validate_object_names(wanted: Sequence[str], path: Path, errors: ErrorList) -> None:
    for i, name in enumerate(wanted):
        where = path.child("resourceNames").index(i)
        checks.name(name, names.path_segment_name, where, errors)
        if name in wanted[:i]:
            errors.duplicate(where, name)


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
    message = "at least one validation action is required"
    checks.required(actions, _SPEC.child(where), errors, message)
    seen: set[str] = set()
    for i, action in enumerate(actions):
        checks.one_of(action, ("Audit", "Deny", "Warn"), _SPEC.child(where).index(i), errors)
        if action in seen:
            errors.duplicate(_SPEC.child(where).index(i), action)
        seen.add(action)
    if {"Deny", "Warn"} <= seen:
        message = (
            "must not contain both Deny and Warn (repeating the same validation failure "
            "information in the API response and headers serves no purpose)"
        )
        errors.invalid(_SPEC.child(where), actions, message)


def _validate_parameters(reference: Obj, path: Path, errors: ErrorList) -> None:
    name, selector = reference.get("name"), reference.get("selector")
    if name and selector is not None:
        message = "name and selector are mutually exclusive"
        errors.forbidden(path.child("name"), message)
        errors.forbidden(path.child("selector"), message)
    elif not name and selector is None:
        errors.required(path, "one of name or selector must be specified")
    if name:
        checks.name(name, names.path_segment_name, path.child("name"), errors)
    validate_label_selector(selector, path.child("selector"), errors)
    where = path.child("parameterNotFoundAction")
    action = reference.get("parameterNotFoundAction")
    if checks.required(action, where, errors):
        checks.one_of(action, ("Deny", "Allow"), where, errors)


def validate_policy_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    status, path = new.get("status") or {}, Path("status")
    warnings = (status.get("typeChecking") or {}).get("expressionWarnings") or ()
    for i, warning in enumerate(warnings):
        at = path.child("typeChecking", "expressionWarnings").index(i)
        for field in ("warning", "fieldRef"):
            checks.required((warning.get(field) or "").strip(), at.child(field), errors)
    validate_conditions(status.get("conditions") or (), path.child("conditions"), errors)
