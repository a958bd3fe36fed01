"""Reads ``AuthorizationConfiguration`` (apiserver.config.k8s.io/v1): which modes, in which order.

Source of semantics: apiserver's ``apis/apiserver/validation``. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagong.api.types import Obj
from sagong.core.durations import seconds
from sagong.server.authz.webhook import WebhookSettings

API_VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1")
KIND = "AuthorizationConfiguration"
PLAIN = ("Node", "RBAC", "AlwaysAllow", "AlwaysDeny")
TIMEOUT_SECONDS_MAX = 30.0


class BadConfiguration(ValueError):
    """The file is not what it must be; the message has the path of the member."""


@dataclass(frozen=True, slots=True)
class Mode:
    """One authorizer: of a plain type, or a webhook with its settings."""

    type: str
    webhook: WebhookSettings | None = None


DEFAULT = (Mode("Node"), Mode("RBAC"))


def parse(config: Any, directory: Path) -> Sequence[Mode]:
    """The modes in a decoded file; paths in it are relative to its directory.

    Raises BadConfiguration.
    """
    if not isinstance(config, dict) or config.get("kind") != KIND:
        raise BadConfiguration(f"want kind {KIND} of {API_VERSIONS[0]}")
    if config.get("apiVersion") not in API_VERSIONS:
        raise BadConfiguration(f"want kind {KIND} of {API_VERSIONS[0]}")
    entries = config.get("authorizers") or []
    if not entries:
        raise BadConfiguration(
            "authorizers: Required value: at least one authorization mode must be defined"
        )
    modes = [_mode(e, f"authorizers[{i}]", directory) for i, e in enumerate(entries)]
    _check_unique([m.type for m in modes if m.webhook is None], "type")
    _check_unique([m.webhook.name for m in modes if m.webhook is not None], "name")
    return modes


def _check_unique(values: Sequence[str], what: str) -> None:
    for i, value in enumerate(values):
        if value in values[:i]:
            raise BadConfiguration(f'authorizers[{i}].{what}: Duplicate value: "{value}"')


def _mode(entry: Obj, path: str, directory: Path) -> Mode:
    type_ = entry.get("type") or ""
    if type_ in PLAIN:
        if entry.get("webhook") is not None:
            raise BadConfiguration(
                f"{path}.webhook: Invalid value: webhook config is only valid for type Webhook"
            )
        return Mode(type_)
    if type_ != "Webhook":
        raise BadConfiguration(f'{path}.type: Unsupported value: "{type_}"')
    settings = entry.get("webhook")
    if not isinstance(settings, dict):
        raise BadConfiguration(f"{path}.webhook: Required value: required when type=Webhook")
    return Mode(type_, _webhook(entry.get("name") or "", settings, path, directory))


def _webhook(name: str, settings: Obj, path: str, directory: Path) -> WebhookSettings:
    if not name:
        raise BadConfiguration(f"{path}.name: Required value")
    connection = settings.get("connectionInfo") or {}
    if connection.get("type") != "KubeConfigFile" or not connection.get("kubeConfigFile"):
        raise BadConfiguration(f"{path}.webhook.connectionInfo: only a KubeConfigFile is supported")
    if settings.get("subjectAccessReviewVersion") != "v1":
        raise BadConfiguration(f'{path}.webhook.subjectAccessReviewVersion: supported values: "v1"')
    policy = settings.get("failurePolicy")
    if policy not in ("NoOpinion", "Deny"):
        raise BadConfiguration(
            f'{path}.webhook.failurePolicy: supported values: "NoOpinion", "Deny"'
        )
    timeout = _seconds(settings.get("timeout") or "", f"{path}.webhook.timeout")
    if not 0 < timeout <= TIMEOUT_SECONDS_MAX:
        raise BadConfiguration(f"{path}.webhook.timeout: Invalid value: must be > 0s and <= 30s")
    return WebhookSettings(
        name=name,
        kubeconfig=directory / connection["kubeConfigFile"],
        timeout_seconds=timeout,
        denies_on_failure=policy == "Deny",
        allowed_seconds=_seconds(
            settings.get("authorizedTTL") or "5m", f"{path}.webhook.authorizedTTL"
        ),
        refused_seconds=_seconds(
            settings.get("unauthorizedTTL") or "30s", f"{path}.webhook.unauthorizedTTL"
        ),
        conditions=tuple(c["expression"] for c in settings.get("matchConditions") or ()),
    )


def _seconds(text: str, path: str) -> float:
    """Go's notation of a duration."""
    try:
        return seconds(text)
    except ValueError:
        raise BadConfiguration(
            f'{path}: Invalid value: "{text}": must be a duration, as 3s'
        ) from None
