"""PodSandboxConfig: the pod itself, as the runtime is told of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagong.api.types import Obj
from sagong.node.cri.messages import enum_number, make
from sagong.node.pods import labels
from sagong.node.pods.naming import Resolver, kernel_host_name
from sagong.node.pods.security import namespace_options, seccomp_profile, supplemental_groups
from sagong.node.pods.spec import all_containers, is_host_network


@dataclass(frozen=True, slots=True)
class SandboxFacts:
    """What the pod's spec does not say."""

    cgroup_parent: str
    log_directory: Path
    resolver: Resolver
    cluster_domain: str


def sandbox_config(pod: Obj, attempt: int, facts: SandboxFacts) -> Any:
    """The message; its labels are how the pod is found again."""
    metadata, spec = pod["metadata"], pod["spec"]
    config = make(
        "PodSandboxConfig",
        metadata={
            "name": metadata["name"],
            "uid": metadata["uid"],
            "namespace": metadata["namespace"],
            "attempt": attempt,
        },
        log_directory=str(facts.log_directory),
        dns_config={
            "servers": facts.resolver.servers,
            "searches": facts.resolver.searches,
            "options": facts.resolver.options,
        },
        port_mappings=_port_mappings(pod),
        labels={**(metadata.get("labels") or {}), **pod_labels(pod)},
        annotations={
            **(metadata.get("annotations") or {}),
            labels.POD_GRACE: str(spec.get("terminationGracePeriodSeconds", 30)),
        },
        linux=_linux(pod, facts),
    )
    if not is_host_network(pod):
        config.hostname = kernel_host_name(pod, facts.cluster_domain)
    return config


def pod_labels(pod: Obj) -> dict[str, str]:
    metadata = pod["metadata"]
    return {
        labels.POD_NAME: metadata["name"],
        labels.POD_NAMESPACE: metadata["namespace"],
        labels.POD_UID: metadata["uid"],
    }


def _linux(pod: Obj, facts: SandboxFacts) -> dict[str, Any]:
    context = pod["spec"].get("securityContext") or {}
    security: dict[str, Any] = {
        "namespace_options": namespace_options(pod),
        "supplemental_groups": supplemental_groups(pod),
        "privileged": any(
            (container.get("securityContext") or {}).get("privileged")
            for _, container in all_containers(pod)
        ),
        "seccomp": seccomp_profile({"type": "RuntimeDefault"}),
    }
    if (user := context.get("runAsUser")) is not None:
        security["run_as_user"] = {"value": int(user)}
        if (group := context.get("runAsGroup")) is not None:
            security["run_as_group"] = {"value": int(group)}
    return {
        "cgroup_parent": facts.cgroup_parent,
        "sysctls": {entry["name"]: entry["value"] for entry in context.get("sysctls") or []},
        "security_context": security,
    }


def _port_mappings(pod: Obj) -> Sequence[dict[str, Any]]:
    """hostPorts; the portmap plugin makes them."""
    if is_host_network(pod):
        return []
    return [
        {
            "protocol": enum_number("Protocol", port.get("protocol") or "TCP"),
            "container_port": port["containerPort"],
            "host_port": port["hostPort"],
            "host_ip": port.get("hostIP") or "",
        }
        for _, container in all_containers(pod)
        for port in container.get("ports") or []
        if port.get("hostPort")
    ]
