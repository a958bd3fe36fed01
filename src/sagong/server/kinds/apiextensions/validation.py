"""Validation of custom resource definitions (upstream: apiextensions/validation)."""

from collections.abc import Sequence

from sagong.api import names
from sagong.api.meta import condition
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.custom_resources.rules import has_rules
from sagong.server.kinds import checks
from sagong.server.kinds.admissionregistration.validation import validate_client
from sagong.server.kinds.apiextensions.schema_rules import validate_node, validate_root

_SPEC = Path("spec")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("", "byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_WARNING_BYTES_MAX = 256
_APPROVAL = "api-approved.kubernetes.io"
_PROTECTED_GROUPS = (".k8s.io", ".kubernetes.io")
_SHORT_SCHEMA_KEYS = ("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")


def validate_definition(crd: Obj, errors: ErrorList) -> None:
    spec = crd["spec"]
    required = f"{(spec.get('names') or {}).get('plural', '')}.{spec.get('group', '')}"
    name = crd["metadata"].get("name") or ""
    if name and name != required:
        message = 'must be spec.names.plural+"."+spec.group'
        errors.invalid(Path("metadata").child("name"), name, message)
    _validate_group(spec.get("group") or "", errors)
    _validate_approval(crd, errors)
    if spec.get("preserveUnknownFields"):
        errors.invalid(_SPEC.child("preserveUnknownFields"), True, "must be false")
    scope, where = spec.get("scope") or "", _SPEC.child("scope")
    if checks.required(scope, where, errors):
        checks.one_of(scope, ("Cluster", "Namespaced"), where, errors)
    versions = spec.get("versions") or []
    _validate_versions(versions, errors)
    _validate_names(spec.get("names") or {}, errors)
    _validate_conversion(spec.get("conversion") or {}, errors)
    _validate_stored(crd, versions, errors)


def _validate_group(group: str, errors: ErrorList) -> None:
    where = _SPEC.child("group")
    if not checks.required(group, where, errors):
        return
    wrong = names.dns1123_subdomain(group)
    if wrong:
        errors.invalid(where, group, ",".join(wrong))
    elif "." not in group:
        errors.invalid(where, group, "should be a domain with at least one dot")


def _validate_approval(crd: Obj, errors: ErrorList) -> None:
    """The groups of Kubernetes itself need its approval, or the word that it was not given."""
    if not ("." + (crd["spec"].get("group") or "")).endswith(_PROTECTED_GROUPS):
        return
    where = Path("metadata").child("annotations").key(_APPROVAL)
    value = (crd["metadata"].get("annotations") or {}).get(_APPROVAL) or ""
    if not value:
        message = f'protected groups must have approval annotation "{_APPROVAL}", see '
        errors.required(where, f"{message}https://github.com/kubernetes/enhancements/pull/1111")
    elif not value.startswith("unapproved") and not _is_address(value):
        message = f'protected groups must have approval annotation "{_APPROVAL}" with either a URL '
        message += 'or a reason starting with "unapproved", see '
        message += "https://github.com/kubernetes/enhancements/pull/1111"
        errors.invalid(where, value, message)


def _is_address(text: str) -> bool:
    return "://" in text and bool(text.partition("://")[2])


def _validate_versions(versions: Sequence[Obj], errors: ErrorList) -> None:
    where = _SPEC.child("versions")
    shared, versions = _internal(versions)
    seen = [v.get("name") or "" for v in versions]
    if shared.get("schema") is not None:
        _validate_schema(shared["schema"], _SPEC.child("validation"), errors)
    _validate_parts(shared, _SPEC, errors)
    for i, version in enumerate(versions):
        at = where.index(i)
        wrong = names.dns1035_label(version.get("name") or "")
        if wrong:
            errors.invalid(at.child("name"), version.get("name") or "", ",".join(wrong))
        _validate_deprecation(version, at.child("deprecationWarning"), errors)
        if shared.get("schema") is None:
            _validate_schema(version.get("schema") or {}, at.child("schema"), errors)
        _validate_parts(version, at, errors)
    if len(set(seen)) < len(seen):
        errors.invalid(where, _in_go(versions), "must contain unique version names")
    if sum(1 for v in versions if v.get("storage")) != 1:
        message = "must have exactly one version marked as storage version"
        errors.invalid(where, _in_go(versions), message)


def _validate_deprecation(version: Obj, path: Path, errors: ErrorList) -> None:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    if not version.get("deprecated"):
        errors.invalid(path, warning, "can only be set for deprecated versions")
    elif len(warning.encode()) > _WARNING_BYTES_MAX:
        errors.invalid(path, warning, f"must be <= {_WARNING_BYTES_MAX} characters long")
    elif not warning:
        errors.invalid(path, warning, "must not be an empty string")


def _internal(versions: Sequence[Obj]) -> tuple[Obj, Sequence[Obj]]:
    """As upstream's internal type has it: what all versions have alike stands beside them."""
    fields = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")
    shared = {
        field: versions[0].get(field)
        for field in fields
        if versions and all(v.get(field) == versions[0].get(field) for v in versions)
    }
    return shared, [{k: v for k, v in version.items() if k not in shared} for version in versions]


def _in_go(versions: Sequence[Obj]) -> list[Obj]:
    """Versions as upstream shows them: its internal type, by Go's field names."""
    return [
        {
            "Name": v.get("name") or "",
            "Served": bool(v.get("served")),
            "Storage": bool(v.get("storage")),
            "Deprecated": bool(v.get("deprecated")),
            "DeprecationWarning": v.get("deprecationWarning"),
            "Schema": v.get("schema"),
            "Subresources": v.get("subresources"),
            "AdditionalPrinterColumns": v.get("additionalPrinterColumns"),
            "SelectableFields": v.get("selectableFields"),
        }
        for v in versions
    ]


def _validate_schema(given: Obj, path: Path, errors: ErrorList) -> None:
    schema, at = given.get("openAPIV3Schema"), path.child("openAPIV3Schema")
    if schema is None:
        errors.required(at)
    else:
        _validate_root(schema, at, errors)


def _validate_parts(version: Obj, path: Path, errors: ErrorList) -> None:
    """Columns and scale of one version, or of all."""
    for i, column in enumerate(version.get("additionalPrinterColumns") or ()):
        where = path.child("additionalPrinterColumns").index(i)
        checks.required(column.get("name"), where.child("name"), errors)
        if checks.required(column.get("type"), where.child("type"), errors):
            checks.one_of(column["type"], _COLUMN_TYPES, where.child("type"), errors)
        format_ = column.get("format") or ""
        if format_ not in _COLUMN_FORMATS:
            errors.not_supported(where.child("format"), format_, list(_COLUMN_FORMATS[1:]))
        json_path = column.get("jsonPath") or ""
        if checks.required(json_path, where.child("jsonPath"), errors):
            _is_simple_path(json_path, where.child("jsonPath"), errors)
    scale = (version.get("subresources") or {}).get("scale")
    if scale is not None:
        _validate_scale(scale, path.child("subresources", "scale"), errors)


def _validate_scale(scale: Obj, path: Path, errors: ErrorList) -> None:
    for field, under in (
        ("specReplicasPath", (".spec.",)),
        ("statusReplicasPath", (".status.",)),
        ("labelSelectorPath", (".spec.", ".status.")),
    ):
        value, where = scale.get(field) or "", path.child(field)
        if not value:
            if field != "labelSelectorPath":
                errors.required(where)
            continue
        if _is_simple_path(value, where, errors) and not value.startswith(under):
            listed = under[0].removesuffix(".") if len(under) == 1 else "either .status or .spec"
            errors.invalid(where, value, f"should be a json path under {listed}")


def _is_simple_path(value: str, path: Path, errors: ErrorList) -> bool:
    if value.startswith("."):
        return True
    errors.invalid(path, value, "must be a simple json path starting with .")
    return False


def _validate_root(schema: Obj, path: Path, errors: ErrorList) -> None:
    if schema.get("nullable"):
        message = "must not be true at the root"
        errors.forbidden(path.child("nullable"), message)
    if not schema.get("type"):
        errors.required(path.child("type"), "must not be empty at the root")
    elif schema["type"] != "object":
        errors.invalid(path.child("type"), schema["type"], "must be object at the root")
    before = len(errors)
    validate_root(schema, path, errors)
    _validate_nested(schema, path, errors)
    if len(errors) == before and has_rules(schema):
        # Imported here: most definitions have no rules, and CEL takes its time.
        from sagong.server.kinds.apiextensions.rules import validate_rules

        validate_rules(schema, path, errors)


def _validate_nested(schema: Obj, path: Path, errors: ErrorList) -> None:
    """The rules of a structural schema that every nested one must follow."""
    validate_node(schema, path, errors)
    problem = _pattern_problem(schema.get("pattern") or "")
    if problem:
        message = f"must be a valid regular expression, but isn't: {problem}"
        errors.invalid(path.child("pattern"), schema["pattern"], message)
    for name, nested in (schema.get("properties") or {}).items():
        at = path.child("properties").key(name)
        _validate_typed(nested, at, "must not be empty for specified object fields", errors)
    items = schema.get("items")
    if isinstance(items, dict):
        message = "must not be empty for specified array items"
        _validate_typed(items, path.child("items"), message, errors)
    elif schema.get("type") == "array":
        errors.required(path.child("items"), "must be specified")
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        message = "must not be empty for specified object fields"
        _validate_typed(additional, path.child("additionalProperties"), message, errors)
        if schema.get("properties"):
            message = "additionalProperties and properties are mutual exclusive"
            errors.forbidden(path.child("additionalProperties"), message)


def _pattern_problem(pattern: str) -> str:
    if not pattern:
        return ""
    # Imported here: RE2 is for definitions with patterns only.
    from sagong.api.patterns import problem_of

    return problem_of(pattern)


def _validate_typed(schema: Obj, path: Path, message: str, errors: ErrorList) -> None:
    if not schema.get("type") and not any(schema.get(key) for key in _SHORT_SCHEMA_KEYS):
        errors.required(path.child("type"), message)
    _validate_nested(schema, path, errors)


def _validate_names(given: Obj, errors: ErrorList) -> None:
    path = _SPEC.child("names")
    for field in ("plural", "singular"):
        value = given.get(field) or ""
        wrong = names.dns1035_label(value)
        if wrong:
            errors.invalid(path.child(field), value, ",".join(wrong))
    for field in ("kind", "listKind"):
        value = given.get(field) or ""
        wrong = names.dns1035_label(value.lower())
        if wrong:
            joined = ",".join(wrong)
            message = f"may have mixed case, but should otherwise match: {joined}"
            errors.invalid(path.child(field), value, message)
    for field in ("shortNames", "categories"):
        for i, value in enumerate(given.get(field) or ()):
            wrong = names.dns1035_label(value)
            if wrong:
                errors.invalid(path.child(field).index(i), value, ",".join(wrong))
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        message = "kind and listKind may not be the same"
        errors.invalid(path.child("listKind"), given["listKind"], message)


def _validate_conversion(conversion: Obj, errors: ErrorList) -> None:
    path = _SPEC.child("conversion")
    strategy = conversion.get("strategy") or ""
    if not checks.required(strategy, path.child("strategy"), errors):
        return
    if not checks.one_of(strategy, ("None", "Webhook"), path.child("strategy"), errors):
        return
    webhook = conversion.get("webhook")
    if strategy == "None":
        if webhook is not None:
            message = 'should not be set when strategy is not set to "Webhook"'
            errors.forbidden(path.child("webhook"), message)
        return
    config = (webhook or {}).get("clientConfig")
    if config is None:
        message = 'required when strategy is set to "Webhook"'
        errors.required(path.child("webhook", "clientConfig"), message)
    else:
        validate_client(config, path.child("webhook", "clientConfig"), errors)
    where = path.child("webhook", "conversionReviewVersions")
    versions = (webhook or {}).get("conversionReviewVersions") or []
    if checks.required(versions, where, errors) and not {"v1", "v1beta1"} & set(versions):
        errors.invalid(where, versions, "must include at least one of v1, v1beta1")


def _validate_stored(crd: Obj, versions: Sequence[Obj], errors: ErrorList) -> None:
    stored = (crd.get("status") or {}).get("storedVersions")
    where = Path("status").child("storedVersions")
    if not stored:
        errors.invalid(where, stored, "must have at least one stored version")
        return
    known = {v.get("name") for v in versions}
    for i, version in enumerate(stored):
        if version not in known:
            message = (
                f"missing from spec.versions; {version} was previously a storage version, and "
                "must remain in spec.versions until a storage migration ensures no data remains "
                f"persisted in {version} and removes {version} from status.storedVersions"
            )
            errors.invalid(where.index(i), version, message)
    for version in versions:
        if version.get("storage") and version.get("name") not in stored:
            errors.invalid(where, stored, f"must have the storage version {version.get('name')}")


def validate_definition_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """Once established, a definition keeps group, scope and names of what is stored."""
    ours, theirs = new["spec"], old["spec"]
    established = (condition(old, "Established") or {}).get("status") == "True"
    for field in ("group", *(("scope",) if established else ())):
        checks.unchanged(ours.get(field), theirs.get(field), _SPEC.child(field), errors)
    fields = ("kind", "plural") if established else ("plural",)
    for field in fields:
        where = _SPEC.child("names", field)
        mine, before = ours["names"].get(field), theirs["names"].get(field)
        checks.unchanged(mine, before, where, errors)
