"""Secrets."""

import base64
from collections.abc import Mapping

from sagong.api.decode import object_problem
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.data_rules import (
    DATA,
    decoded_size,
    validate_immutable,
    validate_keys,
    validate_size,
)
from sagong.server.kinds.strategy import Strategy


def default(secret: Obj) -> None:
    if not secret.get("type"):
        secret["type"] = "Opaque"
    text = secret.pop("stringData", None)
    if text:
        data = secret.setdefault("data", {})
        for key, value in text.items():
            data[key] = base64.b64encode(value.encode()).decode()


def prepare_for_update(new: Obj, old: Obj) -> None:
    """An update without a type keeps the type."""
    if not new.get("type") and old.get("type"):
        new["type"] = old["type"]


def selectable_fields(secret: Obj) -> Mapping[str, str]:
    return {"type": secret.get("type", "")}


_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_JSON_KEYS = {
    "kubernetes.io/dockercfg": ".dockercfg",
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
}
_REQUIRED_KEYS = {
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def validate(secret: Obj, errors: ErrorList) -> None:
    data, type_ = secret.get("data") or {}, secret.get("type") or ""
    validate_keys(data, DATA, errors)
    validate_size(decoded_size(data), DATA, errors)
    for key in _REQUIRED_KEYS.get(type_, ()):
        if key not in data or (type_ == "kubernetes.io/ssh-auth" and not data[key]):
            errors.required(DATA.key(key))
    if type_ == "kubernetes.io/service-account-token":
        name = (secret["metadata"].get("annotations") or {}).get(_ACCOUNT_NAME)
        where = Path("metadata").child("annotations").key(_ACCOUNT_NAME)
        checks.required(name, where, errors)
    elif type_ == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
        errors.required(DATA.key("username"))
        errors.required(DATA.key("password"))
    elif type_ in _JSON_KEYS:
        _validate_json(data, _JSON_KEYS[type_], errors)


def _validate_json(data: Obj, key: str, errors: ErrorList) -> None:
    if key not in data:
        errors.required(DATA.key(key))
        return
    problem = object_problem(base64.b64decode(data[key] or ""))
    if problem is not None:
        errors.invalid(DATA.key(key), "<secret contents redacted>", problem)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    checks.unchanged(new.get("type"), old.get("type"), Path("type"), errors)
    validate_immutable(new, old, errors, "data")


def warnings(new: Obj, old: Obj | None) -> list[str]:
    if new.get("type") != "kubernetes.io/tls":
        return []
    # Imported here: most servers see a certificate in a secret late or never.
    from sagong.server.kinds.core.secret_warnings import secret_warnings

    return secret_warnings(new, old)


STRATEGY = Strategy(
    warnings=warnings,
    validate=validate,
    validate_update=validate_update,
    default=default,
    prepare_for_update=prepare_for_update,
    selectable_fields=selectable_fields,
    selectable_field_names=("type",),
    has_status=False,
)
