"""Reads ``AdmissionConfiguration`` (apiserver.config.k8s.io/v1) and which plugins are switched.

Source of semantics: apiserver's ``pkg/admission/config.go`` and ``options/admission.go``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagong.api.types import Obj
from sagong.server.admission.event_rate_limit import BadLimits, Limit, limits_of
from sagong.server.admission.pod_security.settings import (
    NO_SETTINGS,
    BadSettings,
    Settings,
    settings_of,
)

API_VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1alpha1")
KIND = "AdmissionConfiguration"
# Plugins that do nothing unless they are asked for.
OPTIONAL = frozenset(("AlwaysPullImages", "EventRateLimit", "OwnerReferencesPermissionEnforcement"))
# All that can be switched, by upstream's names; a test holds them against the chain.
PLUGINS = OPTIONAL | {
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "DefaultStorageClass",
    "DefaultTolerationSeconds",
    "LimitRanger",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "NamespaceLifecycle",
    "NodeRestriction",
    "PersistentVolumeClaimResize",
    "PodSecurity",
    "Priority",
    "ResourceQuota",
    "RuntimeClass",
    "ServiceAccount",
    "StorageObjectInUseProtection",
    "TaintNodesByCondition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
}


class BadConfiguration(ValueError):
    """A file or a flag is not what it must be."""


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """Plugins that are switched on and off beside the default ones, and what some are told."""

    enabled: frozenset[str] = frozenset()
    disabled: frozenset[str] = frozenset()
    event_limits: Sequence[Limit] = ()
    pod_security: Settings = NO_SETTINGS

    def is_on(self, plugin: str) -> bool:
        if plugin in OPTIONAL:
            return plugin in self.enabled
        return plugin not in self.disabled


DEFAULT = AdmissionSettings()


def settings_from(
    enabled: Sequence[str], disabled: Sequence[str], file: Path | None
) -> AdmissionSettings:
    """From the flags. Raises BadConfiguration, OSError."""
    for name in (*enabled, *disabled):
        if name not in PLUGINS:
            raise BadConfiguration(f"enable/disable-admission-plugins plugin {name!r} is unknown")
    both = sorted(set(enabled) & set(disabled))
    if both:
        raise BadConfiguration(f"{both} in enable-admission-plugins and disable-admission-plugins")
    told = _plugins(file) if file is not None else {}
    try:
        limits = limits_of(told["EventRateLimit"]) if "EventRateLimit" in told else ()
        security = settings_of(told["PodSecurity"]) if "PodSecurity" in told else NO_SETTINGS
    except (BadLimits, BadSettings) as error:
        raise BadConfiguration(f"{file}: {error}") from error
    if "EventRateLimit" in enabled and not limits:
        raise BadConfiguration("EventRateLimit needs limits: see --admission-control-config-file")
    return AdmissionSettings(frozenset(enabled), frozenset(disabled), limits, security)


def _plugins(file: Path) -> dict[str, Any]:
    """The configurations of plugins by name: embedded, or in files beside this one."""
    config = _read(file)
    if not isinstance(config, dict) or config.get("kind") != KIND:
        raise BadConfiguration(f"{file}: want kind {KIND} of {API_VERSIONS[0]}")
    if config.get("apiVersion") not in API_VERSIONS:
        raise BadConfiguration(f"{file}: want kind {KIND} of {API_VERSIONS[0]}")
    return {entry["name"]: _configuration(entry, file) for entry in config.get("plugins") or ()}


def _configuration(entry: Obj, file: Path) -> Any:
    if entry.get("configuration") is not None:
        return entry["configuration"]
    path = entry.get("path")
    return _read(file.parent / path) if path else None


def _read(file: Path) -> Any:
    import yaml  # slow to import, and only needed with a file

    try:
        return yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise BadConfiguration(f"{file}: {error}") from error
