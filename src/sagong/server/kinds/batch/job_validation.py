"""Validation of jobs (upstream: pkg/apis/batch/validation)."""

from sagong.api import names
from sagong.api.meta import deep_copy
from sagong.api.selectors import selector_from_object
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.batch.job_indexes import IndexesError, count_indexes
from sagong.server.kinds.core.pod_validation import validate_pod_template
from sagong.server.kinds.selectors import validate_label_selector, validate_selects

_SPEC = Path("spec")
_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
)
_LABELS = (
    "controller-uid",
    "job-name",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
)
_PARALLELISM_MAX_LIMITED = 100_000
_FAILED_INDEXES_MAX = 100_000
# Past so many completions, a limit per index is affordable only within the two bounds below.
_COMPLETIONS_MANY = 100_000
_PARALLELISM_MAX_OF_MANY = 10_000
_FAILED_INDEXES_MAX_OF_MANY = 10_000
_SUCCEEDED_INDEXES_BYTES_MAX = 64 * 1024
_MANAGED_BY_CHARACTERS_MAX = 63
_RULES_MAX = 20  # also of the conditions of one rule
_STATUSES = ("False", "True", "Unknown")


def validate_job(job: Obj, errors: ErrorList) -> None:
    _validate_generated_selector(job, errors)
    spec = job["spec"]
    selector = spec.get("selector")
    validate_job_spec(spec, _SPEC, errors, selector_required=True)
    _validate_last_name(job, errors)
    if selector is not None:
        labels = (spec["template"].get("metadata") or {}).get("labels") or {}
        where = _SPEC.child("template", "metadata", "labels")
        validate_selects(selector, labels, where, errors)


def _validate_last_name(job: Obj, errors: ErrorList) -> None:
    """The last pod of an indexed job is called after job and index; it must be a host's name."""
    spec, name = job["spec"], job["metadata"].get("name") or ""
    completions = spec.get("completions") or 0
    if spec.get("completionMode") != "Indexed" or completions <= 0:
        return
    host = f"{name}-{completions - 1}"
    if names.dns1123_label(host):
        message = f"will not able to create pod with invalid DNS label: {host}"
        errors.invalid(Path("metadata").child("name"), name, message)


def _validate_generated_selector(job: Obj, errors: ErrorList) -> None:
    """Unless manual, selector and template labels must be the ones made from uid and name."""
    spec = job["spec"]
    if spec.get("manualSelector") or spec.get("selector") is None:
        return
    uid, name = job["metadata"].get("uid") or "", job["metadata"].get("name") or ""
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    for key, expected in zip(_LABELS, (uid, name, uid, name), strict=True):
        where = _SPEC.child("template", "metadata", "labels").key(key)
        if key not in labels:
            errors.required(where, f"must be '{expected}'")
        if labels.get(key) != expected:
            errors.invalid(where, labels or None, f"must be '{expected}'")
    generated = dict(zip(_LABELS, (uid, name, uid, name), strict=True))
    try:
        selects = selector_from_object(spec["selector"]).matches(generated)
    except ValueError:
        return  # the selector's own validation says so
    if not selects:
        errors.invalid(_SPEC.child("selector"), spec["selector"], "`selector` not auto-generated")


def validate_job_spec(
    spec: Obj, path: Path, errors: ErrorList, *, selector_required: bool = False
) -> None:
    """A JobSpec, in a job or in a cron job's template."""
    for field in _COUNTS:
        checks.not_negative(spec.get(field), path.child(field), errors)
    checks.not_negative(spec.get("maxFailedIndexes"), path.child("maxFailedIndexes"), errors)
    _validate_manager(spec.get("managedBy"), path.child("managedBy"), errors)
    _validate_completion(spec, path, errors)
    policy = spec.get("podFailurePolicy")
    if policy is not None:
        _validate_failure_policy(spec, path.child("podFailurePolicy"), errors)
    if spec.get("successPolicy") is not None:
        _validate_success_policy(spec, path.child("successPolicy"), errors)
    replacement = spec.get("podReplacementPolicy")
    if replacement is not None:
        where = path.child("podReplacementPolicy")
        supported = ("Failed", "TerminatingOrFailed")
        if policy is not None and replacement != "Failed":
            errors.not_supported(where, replacement, ["Failed"])
        else:
            checks.one_of(replacement, supported, where, errors)
    if spec.get("selector") is not None:
        validate_label_selector(spec["selector"], path.child("selector"), errors)
    elif selector_required:
        errors.required(path.child("selector"))
    template, at = spec.get("template") or {}, path.child("template")
    validate_pod_template(template, at, errors)
    _validate_restart_policy(spec, at, errors)


def _validate_manager(manager: str | None, path: Path, errors: ErrorList) -> None:
    if manager is None:
        return
    checks.domain_prefixed_path(manager, path, errors)
    if len(manager) > _MANAGED_BY_CHARACTERS_MAX:
        errors.too_long(path, _MANAGED_BY_CHARACTERS_MAX)


def _validate_restart_policy(spec: Obj, path: Path, errors: ErrorList) -> None:
    policy = (spec["template"].get("spec") or {}).get("restartPolicy") or ""
    where = path.child("spec", "restartPolicy")
    if policy in ("", "Always"):
        errors.required(where, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        errors.not_supported(where, policy, ["OnFailure", "Never"])
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        message = 'only "Never" is supported when podFailurePolicy is specified'
        errors.invalid(where, policy, message)


def _validate_completion(spec: Obj, path: Path, errors: ErrorList) -> None:
    mode, completions = spec.get("completionMode"), spec.get("completions")
    if mode is not None:
        modes = ("NonIndexed", "Indexed")
        checks.one_of(mode, modes, path.child("completionMode"), errors)
    indexed = mode == "Indexed"
    if indexed:
        if completions is None:
            message = "when completion mode is Indexed"
            errors.required(path.child("completions"), message)
        parallelism = spec.get("parallelism") or 0
        if parallelism > _PARALLELISM_MAX_LIMITED:
            message = (
                f"must be less than or equal to {_PARALLELISM_MAX_LIMITED} when completion mode "
                "is Indexed"
            )
            errors.invalid(path.child("parallelism"), parallelism, message)
        _validate_failed_indexes(spec, path, errors)
    for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
        if spec.get(field) is not None and not indexed:
            where = path.child(field)
            errors.invalid(where, spec[field], "requires indexed completion mode")
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        message = "when maxFailedIndexes is specified"
        errors.required(path.child("backoffLimitPerIndex"), message)


def _validate_failed_indexes(spec: Obj, path: Path, errors: ErrorList) -> None:
    most, completions = spec.get("maxFailedIndexes"), spec.get("completions")
    where = path.child("maxFailedIndexes")
    if most is not None and completions is not None and most > completions:
        errors.invalid(where, most, "must be less than or equal to completions")
    if most is not None and most > _FAILED_INDEXES_MAX:
        errors.invalid(where, most, f"must be less than or equal to {_FAILED_INDEXES_MAX}")
    is_many = completions is not None and completions > _COMPLETIONS_MANY
    if not is_many or spec.get("backoffLimitPerIndex") is None:
        return
    if most is None:
        message = f"must be specified when completions is above {_COMPLETIONS_MANY}"
        errors.required(where, message)
    for field, bound in (
        ("parallelism", _PARALLELISM_MAX_OF_MANY),
        ("maxFailedIndexes", _FAILED_INDEXES_MAX_OF_MANY),
    ):
        if (spec.get(field) or 0) > bound:
            message = (
                f"must be less than or equal to {bound} when completions are above "
                f"{_COMPLETIONS_MANY} and used with backoff limit per index"
            )
            errors.invalid(path.child(field), spec[field], message)


def _validate_success_policy(spec: Obj, path: Path, errors: ErrorList) -> None:
    if spec.get("completionMode") != "Indexed":
        policy = _success_policy_in_go(spec["successPolicy"])
        errors.invalid(path, policy, "requires indexed completion mode")
        return
    rules, where = spec["successPolicy"].get("rules") or [], path.child("rules")
    if not rules:
        errors.required(
            where, "at least one rules must be specified when the successPolicy is specified"
        )
    if len(rules) > _RULES_MAX:
        errors.too_many(where, len(rules), _RULES_MAX)
    for i, rule in enumerate(rules):
        _validate_success_rule(rule, spec.get("completions") or 0, where.index(i), errors)


def _success_policy_in_go(policy: Obj) -> Obj:
    rules = policy.get("rules")
    return {
        "Rules": rules
        and [
            {
                "SucceededIndexes": rule.get("succeededIndexes"),
                "SucceededCount": rule.get("succeededCount"),
            }
            for rule in rules
        ]
    }


def _validate_success_rule(rule: Obj, completions: int, path: Path, errors: ErrorList) -> None:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        message = "at least one of succeededCount or succeededIndexes must be specified"
        errors.required(path, message)
    total = 0
    if indexes is not None:
        where = path.child("succeededIndexes")
        if len(indexes) > _SUCCEEDED_INDEXES_BYTES_MAX:
            errors.too_long(where, _SUCCEEDED_INDEXES_BYTES_MAX)
        try:
            total = count_indexes(indexes, completions)
        except IndexesError as problem:
            errors.invalid(where, indexes, f"error parsing succeededIndexes: {problem}")
    if count is None:
        return
    where = path.child("succeededCount")
    checks.not_negative(count, where, errors)
    bounds = [(completions, "specified completions")]
    if indexes is not None:
        bounds.append((total, "indexes in the specified succeededIndexes field"))
    for most, what in bounds:
        if count > most:
            message = f"must be less than or equal to {most} (the number of {what})"
            errors.invalid(where, count, message)


def _validate_failure_policy(spec: Obj, path: Path, errors: ErrorList) -> None:
    rules, where = spec["podFailurePolicy"].get("rules") or [], path.child("rules")
    if len(rules) > _RULES_MAX:
        errors.too_many(where, len(rules), _RULES_MAX)
    pods = spec["template"].get("spec") or {}
    names = {
        c.get("name") for group in ("containers", "initContainers") for c in pods.get(group) or ()
    }
    for i, rule in enumerate(rules):
        _validate_failure_rule(rule, spec, names, where.index(i), errors)


def _validate_failure_rule(
    rule: Obj, spec: Obj, containers: set[str | None], path: Path, errors: ErrorList
) -> None:
    action = rule.get("action") or ""
    if not action:
        errors.required(
            path.child("action"), 'valid values: ["Count" "FailIndex" "FailJob" "Ignore"]'
        )
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        message = "requires the backoffLimitPerIndex to be set"
        errors.invalid(path.child("action"), action, message)
    else:
        actions = ("Count", "FailIndex", "FailJob", "Ignore")
        checks.one_of(action, actions, path.child("action"), errors)
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if codes is not None:
        _validate_exit_codes(codes, containers, path.child("onExitCodes"), errors)
    where = path.child("onPodConditions")
    if len(conditions) > _RULES_MAX:
        errors.too_many(where, len(conditions), _RULES_MAX)
    for i, pattern in enumerate(conditions):
        at = where.index(i)
        checks.qualified_name(pattern.get("type") or "", at.child("type"), errors)
        checks.one_of(pattern.get("status", ""), _STATUSES, at.child("status"), errors)
    if codes is not None and conditions:
        message = "specifying both OnExitCodes and OnPodConditions is not supported"
        errors.invalid_as_a_whole(path, message)
    if codes is None and not conditions:
        message = "specifying one of OnExitCodes and OnPodConditions is required"
        errors.invalid_as_a_whole(path, message)


def _validate_exit_codes(
    codes: Obj, containers: set[str | None], path: Path, errors: ErrorList
) -> None:
    operator, at = codes.get("operator") or "", path.child("operator")
    if checks.required(operator, at, errors, 'valid values: ["In" "NotIn"]'):
        checks.one_of(operator, ("In", "NotIn"), at, errors)
    name = codes.get("containerName")
    if name is not None and name not in containers:
        message = "must be one of the container or initContainer names in the pod template"
        errors.invalid(path.child("containerName"), name, message)
    values, where = codes.get("values") or [], path.child("values")
    if not values:
        errors.invalid(where, codes.get("values"), "at least one value is required")
    elif len(values) > 255:
        errors.too_many(where, len(values), 255)
    seen: set[int] = set()
    for i, value in enumerate(values):
        if value in seen:
            errors.duplicate(where.index(i), value)
        seen.add(value)
        if operator == "In" and value == 0:
            errors.invalid(where.index(i), value, "must not be 0 for the In operator")
    if values != sorted(values):
        errors.invalid(where, values, "must be ordered")


def validate_job_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """Most of a job never changes; a suspended one may still be moved to other nodes."""
    ours, theirs = new["spec"], old["spec"]
    _validate_new_completions(ours, theirs, errors)
    checks.unchanged(ours.get("selector"), theirs.get("selector"), _SPEC.child("selector"), errors)
    template = ours["template"]
    if theirs.get("suspend") and (old.get("status") or {}).get("startTime") is None:
        template = _with_placement_of(template, theirs["template"])
    checks.unchanged(template, theirs["template"], _SPEC.child("template"), errors)
    fields = (
        *("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy"),
        "successPolicy",
    )
    for field in fields:
        checks.unchanged(ours.get(field), theirs.get(field), _SPEC.child(field), errors)


def _validate_new_completions(ours: Obj, theirs: Obj, errors: ErrorList) -> None:
    """Indexed jobs may be resized if completions and parallelism stay equal."""
    if ours.get("completions") == theirs.get("completions"):
        return
    where = _SPEC.child("completions")
    if ours.get("completionMode") != "Indexed":
        checks.unchanged(ours.get("completions"), theirs.get("completions"), where, errors)
    elif ours.get("completions") not in (None, ours.get("parallelism")):
        message = "can only be modified in tandem with spec.parallelism"
        errors.invalid(where, ours["completions"], message)


def _with_placement_of(template: Obj, other: Obj) -> Obj:
    """The template with the scheduling directives that may change taken from another."""
    changed: Obj = deep_copy(template)
    for part, fields in (
        ("metadata", ("labels", "annotations")),
        ("spec", ("nodeSelector", "tolerations", "schedulingGates")),
    ):
        for field in fields:
            _take(changed.setdefault(part, {}), other.get(part) or {}, field)
    affinity = changed["spec"].get("affinity") or {}
    before = (other.get("spec") or {}).get("affinity") or {}
    _take(affinity, before, "nodeAffinity")
    changed["spec"]["affinity"] = affinity
    if not affinity and (other.get("spec") or {}).get("affinity") is None:
        del changed["spec"]["affinity"]
    return changed


def _take(target: Obj, source: Obj, field: str) -> None:
    if field in source:
        target[field] = source[field]
    else:
        target.pop(field, None)
