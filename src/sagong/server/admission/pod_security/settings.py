"""What holds for all namespaces: defaults and exemptions (``PodSecurityConfiguration``). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sagong.api.types import Obj
from sagong.api.validation import ErrorList
from sagong.server.admission.pod_security.policy import PREFIX, read_policy

API_VERSION, KIND = "pod-security.admission.config.k8s.io/v1", "PodSecurityConfiguration"
_MODES = ("enforce", "audit", "warn")


class BadSettings(ValueError):
    """The configuration is not what it must be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``defaults`` are labels that count where a namespace has none of its own."""

    defaults: Mapping[str, str] = field(default_factory=dict)
    usernames: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()

    def exempts(self, user: str, namespace: str) -> bool:
        return user in self.usernames or namespace in self.namespaces


NO_SETTINGS = Settings()


def settings_of(configuration: Any) -> Settings:
    """From a decoded ``PodSecurityConfiguration``. Raises BadSettings."""
    found = configuration or {}
    if (found.get("apiVersion"), found.get("kind")) != (API_VERSION, KIND):
        raise BadSettings(f"want kind {KIND} of {API_VERSION}")
    exemptions = found.get("exemptions") or {}
    return Settings(
        _defaults(found.get("defaults") or {}),
        frozenset(exemptions.get("usernames") or ()),
        frozenset(exemptions.get("namespaces") or ()),
        frozenset(exemptions.get("runtimeClasses") or ()),
    )


def _defaults(defaults: Obj) -> dict[str, str]:
    known = [*_MODES, *(f"{mode}-version" for mode in _MODES)]
    for name in defaults:
        if name not in known:
            raise BadSettings(f'strict decoding error: unknown field "defaults.{name}"')
    labels = {PREFIX + name: str(value) for name, value in defaults.items()}
    errors = ErrorList()
    read_policy(labels, errors)
    if errors:
        raise BadSettings(f"defaults: {errors}")
    return labels
