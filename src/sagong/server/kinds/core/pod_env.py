"""Validation of containers' environment."""

from collections.abc import Sequence

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.field_references import (
    ENV_FIELDS,
    validate_field_reference,
    validate_resource_field_reference,
)

_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def validate_env(env: Sequence[Obj], path: Path, errors: ErrorList) -> None:
    for i, variable in enumerate(env):
        at = path.index(i)
        name = variable.get("name") or ""
        if checks.required(name, at.child("name"), errors):
            checks.name(name, names.relaxed_env_var_name, at.child("name"), errors)
        if variable.get("valueFrom") is not None:
            _validate_source(variable, at.child("valueFrom"), errors)


def _validate_source(variable: Obj, path: Path, errors: ErrorList) -> None:
    source = variable["valueFrom"]
    given = checks.exactly_one(source, _SOURCES)
    if source.get("fieldRef") is not None:
        validate_field_reference(source["fieldRef"], ENV_FIELDS, path.child("fieldRef"), errors)
    if source.get("resourceFieldRef") is not None:
        where = path.child("resourceFieldRef")
        validate_resource_field_reference(
            source["resourceFieldRef"], where, errors, in_volume=False
        )
    for field in ("configMapKeyRef", "secretKeyRef"):
        if source.get(field) is not None:
            _validate_key(source[field], path.child(field), errors)
    if not given:
        message = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or "
            "`secretKeyRef`"
        )
        errors.invalid(path, "", message)
    elif variable.get("value"):
        errors.invalid(path, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        errors.invalid(path, "", "may not have more than one field specified at a time")


def _validate_key(reference: Obj, path: Path, errors: ErrorList) -> None:
    checks.dns_subdomain(reference.get("name") or "", path.child("name"), errors)
    key = reference.get("key") or ""
    if checks.required(key, path.child("key"), errors):
        checks.config_key(key, path.child("key"), errors)


def validate_env_from(sources: Sequence[Obj], path: Path, errors: ErrorList) -> None:
    for i, source in enumerate(sources):
        at = path.index(i)
        if source.get("prefix"):
            checks.name(source["prefix"], names.relaxed_env_var_name, at.child("prefix"), errors)
        given = checks.exactly_one(source, ("configMapRef", "secretRef"))
        for field in given:
            name, where = source[field].get("name") or "", at.child(field, "name")
            if checks.required(name, where, errors):
                checks.name(name, names.dns1123_subdomain, where, errors)
        if not given:
            errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            errors.invalid(path, "", "may not have more than one field specified at a time")
