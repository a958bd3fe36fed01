"""Validation of jobs (upstream: pkg/apis/batch/validation)."""

from sagong.api import names
from sagong.api.meta import condition, deep_copy
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
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
_RULES_MAX = 20


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
        elif labels[key] != expected:
            errors.invalid(where, labels[key], f"must be '{expected}'")
    selector = spec["selector"]
    allowed = (
        {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}},
        {"matchLabels": {"controller-uid": uid}},
    )
    if selector not in allowed:
        errors.invalid(_SPEC.child("selector"), selector, "`selector` not auto-generated")


def validate_job_spec(
    spec: Obj, path: Path, errors: ErrorList, *, selector_required: bool = False
) -> None:
    """A JobSpec, in a job or in a cron job's template."""
    for field in _COUNTS:
        checks.not_negative(spec.get(field), path.child(field), errors)
    checks.not_negative(spec.get("maxFailedIndexes"), path.child("maxFailedIndexes"), errors)
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
    if spec.get("managedBy") is not None:
        checks.qualified_name(spec["managedBy"], path.child("managedBy"), errors)
    template, at = spec.get("template") or {}, path.child("template")
    validate_pod_template(template, at, errors)
    _validate_restart_policy(spec, at, errors)


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
    for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
        if spec.get(field) is not None and not indexed:
            where = path.child(field)
            errors.invalid(where, spec[field], "requires indexed completion mode")
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        message = "when maxFailedIndexes is specified"
        errors.required(path.child("backoffLimitPerIndex"), message)


def _validate_success_policy(spec: Obj, path: Path, errors: ErrorList) -> None:
    if spec.get("completionMode") != "Indexed":
        policy = spec["successPolicy"]
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
        at = where.index(i)
        if rule.get("succeededCount") is None and rule.get("succeededIndexes") is None:
            errors.required(
                at, "at least one of succeededCount or succeededIndexes must be specified"
            )
        checks.not_negative(rule.get("succeededCount"), at.child("succeededCount"), errors)


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
            path.child("action"), 'valid values: "Count", "FailIndex", "FailJob", "Ignore"'
        )
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        errors.invalid(path.child("action"), action, "requires the backoffLimitPerIndex to be set")
    else:
        actions = ("Count", "FailIndex", "FailJob", "Ignore")
        checks.one_of(action, actions, path.child("action"), errors)
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if codes is not None:
        _validate_exit_codes(codes, containers, path.child("onExitCodes"), errors)
    for i, pattern in enumerate(conditions):
        at = path.child("onPodConditions").index(i)
        if checks.required(pattern.get("type"), at.child("type"), errors):
            checks.qualified_name(pattern["type"], at.child("type"), errors)
        statuses = ("False", "True", "Unknown")
        checks.one_of(pattern.get("status", ""), statuses, at.child("status"), errors)
    if codes is not None and conditions:
        message = "specifying both OnExitCodes and OnPodConditions is not supported"
        errors.invalid(path, _rule_in_go(rule), message)
    if codes is None and not conditions:
        message = "specifying one of OnExitCodes and OnPodConditions is required"
        errors.invalid(path, _rule_in_go(rule), message)


def _rule_in_go(rule: Obj) -> Obj:
    """A rule as upstream shows it: its internal type, by Go's field names."""
    codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions")
    return {
        "Action": rule.get("action") or "",
        "OnExitCodes": codes
        and {
            "ContainerName": codes.get("containerName"),
            "Operator": codes.get("operator") or "",
            "Values": codes.get("values"),
        },
        "OnPodConditions": patterns
        and [{"Type": p.get("type") or "", "Status": p.get("status") or ""} for p in patterns],
    }


def _validate_exit_codes(
    codes: Obj, containers: set[str | None], path: Path, errors: ErrorList
) -> None:
    operator = codes.get("operator") or ""
    checks.one_of(operator, ("In", "NotIn"), path.child("operator"), errors)
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
    if theirs.get("completionMode") != "Indexed" or ours.get("completions") is None:
        checks.unchanged(ours.get("completions"), theirs.get("completions"), where, errors)
    elif ours.get("completions") != ours.get("parallelism"):
        message = "can only be modified in tandem with spec.parallelism"
        errors.invalid(where, ours["completions"], message)


def _with_placement_of(template: Obj, other: Obj) -> Obj:
    """The template with the scheduling directives that may change taken from another."""
    changed: Obj = deep_copy(template)
    for part, fields in (
        ("metadata", ("labels", "annotations")),
        ("spec", ("affinity", "nodeSelector", "tolerations", "schedulingGates")),
    ):
        for field in fields:
            if field in (other.get(part) or {}):
                changed[part][field] = other[part][field]
            else:
                changed.get(part, {}).pop(field, None)
    return changed


def validate_job_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """Counts are not negative; what has ended stays ended."""
    status, path = new.get("status") or {}, Path("status")
    for field in ("active", "succeeded", "failed", "ready", "terminating"):
        checks.not_negative(status.get(field), path.child(field), errors)
    ended = {t: _is_true(new, t) for t in ("Complete", "Failed")}
    if all(ended.values()):
        message = "cannot set Complete=True and Failed=true conditions"
        errors.invalid(path.child("conditions"), status.get("conditions"), message)
    for type_, now in ended.items():
        if _is_true(old, type_) and not now:
            message = f"cannot disable the terminal {type_}=True condition"
            errors.invalid(path.child("conditions"), status.get("conditions"), message)
    if status.get("completionTime") and not ended["Complete"]:
        message = "cannot set completionTime when there is no Complete=True condition"
        errors.invalid(path.child("completionTime"), status["completionTime"], message)


def _is_true(job: Obj, type_: str) -> bool:
    return (condition(job, type_) or {}).get("status") == "True"
