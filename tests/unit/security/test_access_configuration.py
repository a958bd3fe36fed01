"""Configurations of authorisation and admission: what is refused, and where it says so."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from sagong.server.admission.configuration import (
    OPTIONAL,
    PLUGINS,
    AdmissionSettings,
    settings_from,
)
from sagong.server.admission.configuration import BadConfiguration as BadAdmission
from sagong.server.authz.configuration import BadConfiguration, Mode, parse

HERE = Path("/etc/sagong")
WEBHOOK: dict[str, Any] = {
    "type": "Webhook",
    "name": "w",
    "webhook": {
        "timeout": "1m30s",
        "subjectAccessReviewVersion": "v1",
        "failurePolicy": "Deny",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "w.kubeconfig"},
    },
}
GOOD: dict[str, Any] = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "AuthorizationConfiguration",
    "authorizers": [{"type": "Node", "name": "n"}, {"type": "RBAC", "name": "r"}],
}


def with_webhook(**changes: Any) -> dict[str, Any]:
    webhook = deepcopy(WEBHOOK)
    webhook["webhook"] |= {"timeout": "3s", **changes}
    return {**GOOD, "authorizers": [webhook, *GOOD["authorizers"]]}


def test_modes_keep_their_order() -> None:
    webhook, *plain = parse(with_webhook(unauthorizedTTL="250ms"), HERE)
    assert plain == [Mode("Node"), Mode("RBAC")]
    assert webhook.webhook is not None
    assert webhook.webhook.kubeconfig == HERE / "w.kubeconfig"
    assert (webhook.webhook.timeout_seconds, webhook.webhook.refused_seconds) == (3.0, 0.25)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "want kind AuthorizationConfiguration"),
        ({**GOOD, "authorizers": []}, "at least one authorization mode"),
        ({**GOOD, "authorizers": [{"type": "ABAC"}]}, 'Unsupported value: "ABAC"'),
        ({**GOOD, "authorizers": [{"type": "RBAC"}] * 2}, 'Duplicate value: "RBAC"'),
        ({**GOOD, "authorizers": [{"type": "Webhook", "name": "w"}]}, "webhook: Required value"),
        (with_webhook(timeout="1m30s"), "must be > 0s and <= 30s"),
        (with_webhook(timeout="soon"), "must be a duration"),
        (with_webhook(failurePolicy="Allow"), "failurePolicy"),
        (with_webhook(connectionInfo={"type": "InClusterConfig"}), "connectionInfo"),
        (with_webhook(subjectAccessReviewVersion="v1beta1"), "subjectAccessReviewVersion"),
    ],
)
def test_what_is_no_authorization(config: dict[str, Any], told: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        parse(config, HERE)
    assert told in str(refused.value)


def admission(directory: Path, *plugins: dict[str, Any]) -> Path:
    path = directory / "admission.yaml"
    kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration"}
    path.write_text(yaml.safe_dump({**kind, "plugins": list(plugins)}))
    return path


def test_plugins_are_told_in_the_file_or_beside_it(tmp_path: Path) -> None:
    (tmp_path / "events.yaml").write_text("limits: [{type: User, qps: 1, burst: 2}]")
    security = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "exemptions": {"namespaces": ["kube-system"]},
    }
    path = admission(
        tmp_path,
        {"name": "EventRateLimit", "path": "events.yaml"},
        {"name": "PodSecurity", "configuration": security},
    )
    settings = settings_from(["EventRateLimit"], ["LimitRanger"], path)
    assert settings.event_limits[0].burst == 2
    assert settings.pod_security.namespaces == {"kube-system"}
    assert settings.is_on("EventRateLimit")
    assert not settings.is_on("LimitRanger")


@pytest.mark.parametrize(
    ("enabled", "disabled", "told"),
    [
        (["Nothing"], [], "is unknown"),
        (["PodSecurity"], ["PodSecurity"], "in enable-admission-plugins and"),
        (["EventRateLimit"], [], "needs limits"),
    ],
)
def test_what_cannot_be_switched(enabled: list[str], disabled: list[str], told: str) -> None:
    with pytest.raises(BadAdmission, match=told):
        settings_from(enabled, disabled, None)


def test_nothing_optional_is_on_by_itself() -> None:
    assert not any(AdmissionSettings().is_on(name) for name in OPTIONAL)
    assert all(AdmissionSettings().is_on(name) for name in PLUGINS - OPTIONAL)
