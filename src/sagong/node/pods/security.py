"""The security context of containers and sandboxes, as the CRI wants it. Pure."""

from collections.abc import Sequence
from typing import Any

from sagong.api.types import Obj
from sagong.node.cri.messages import enum_number
from sagong.node.pods.failures import ConfigFailure
from sagong.node.pods.spec import describe, is_host_network

# What upstream hides from unprivileged containers (securitycontext.defaultMaskedPaths).
MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
READONLY_PATHS = (
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
)  # fmt: skip


def effective(pod: Obj, container: Obj) -> Obj:
    """The container's security context with the pod's where it has none of its own."""
    of_pod = pod["spec"].get("securityContext") or {}
    inherited = (
        "runAsUser",
        "runAsGroup",
        "runAsNonRoot",
        "seccompProfile",
        "appArmorProfile",
        "seLinuxOptions",
    )
    own = container.get("securityContext") or {}
    return {**{k: of_pod[k] for k in inherited if k in of_pod}, **own}


def namespace_options(pod: Obj, *, target_id: str = "") -> dict[str, Any]:
    """Which namespaces are the pod's own, the node's, or (ephemeral) another container's."""
    spec = pod["spec"]
    mode = {name: enum_number("NamespaceMode", name) for name in ("POD", "CONTAINER", "NODE")}
    pid = mode["CONTAINER"]
    if spec.get("hostPID"):
        pid = mode["NODE"]
    elif spec.get("shareProcessNamespace"):
        pid = mode["POD"]
    options: dict[str, Any] = {
        "network": mode["NODE"] if is_host_network(pod) else mode["POD"],
        "ipc": mode["NODE"] if spec.get("hostIPC") else mode["POD"],
        "pid": pid,
    }
    if target_id and pid == mode["CONTAINER"]:
        options |= {"pid": enum_number("NamespaceMode", "TARGET"), "target_id": target_id}
    return options


def supplemental_groups(pod: Obj, volume_groups: Sequence[int] = ()) -> list[int]:
    of_pod = pod["spec"].get("securityContext") or {}
    groups = [int(group) for group in of_pod.get("supplementalGroups") or []]
    if of_pod.get("fsGroup") is not None:
        groups.append(int(of_pod["fsGroup"]))
    return list(dict.fromkeys([*groups, *volume_groups]))


def seccomp_profile(profile: Obj | None) -> dict[str, Any]:
    """SecurityProfile; without one, unconfined as upstream's default."""
    kind = (profile or {}).get("type") or "Unconfined"
    fields: dict[str, Any] = {"profile_type": enum_number("SecurityProfile.ProfileType", kind)}
    if kind == "Localhost":
        # Upstream's place for profiles: below the kubelet's root.
        fields["localhost_ref"] = f"/var/lib/kubelet/seccomp/{(profile or {})['localhostProfile']}"
    return fields


def app_armor_profile(profile: Obj) -> dict[str, Any]:
    """SecurityProfile of AppArmor; a local one is known to the kernel by its name."""
    kind = profile["type"]
    fields: dict[str, Any] = {"profile_type": enum_number("SecurityProfile.ProfileType", kind)}
    if kind == "Localhost":
        fields["localhost_ref"] = profile["localhostProfile"]
    return fields


def container_security(
    pod: Obj, container: Obj, *, target_id: str = "", volume_groups: Sequence[int] = ()
) -> dict[str, Any]:
    """Fields of LinuxContainerSecurityContext."""
    context = effective(pod, container)
    privileged = bool(context.get("privileged"))
    fields: dict[str, Any] = {
        "namespace_options": namespace_options(pod, target_id=target_id),
        "privileged": privileged,
        "readonly_rootfs": bool(context.get("readOnlyRootFilesystem")),
        "no_new_privs": context.get("allowPrivilegeEscalation") is False,
        "supplemental_groups": supplemental_groups(pod, volume_groups),
        "seccomp": seccomp_profile(None if privileged else context.get("seccompProfile")),
    }
    if (profile := context.get("appArmorProfile")) is not None and not privileged:
        fields["apparmor"] = app_armor_profile(profile)
    of_pod = pod["spec"].get("securityContext") or {}
    if (policy := of_pod.get("supplementalGroupsPolicy")) is not None:
        fields["supplemental_groups_policy"] = enum_number("SupplementalGroupsPolicy", policy)
    if (user := context.get("runAsUser")) is not None:
        fields["run_as_user"] = {"value": int(user)}
    if (group := context.get("runAsGroup")) is not None:
        fields["run_as_group"] = {"value": int(group)}
    if capabilities := context.get("capabilities"):
        fields["capabilities"] = {
            "add_capabilities": capabilities.get("add") or [],
            "drop_capabilities": capabilities.get("drop") or [],
        }
    if not privileged and context.get("procMount", "Default") == "Default":
        fields |= {"masked_paths": MASKED_PATHS, "readonly_paths": READONLY_PATHS}
    return fields


def check_non_root(pod: Obj, container: Obj, *, image_uid: int | None, image_user: str) -> None:
    """Refuse root where runAsNonRoot is asked for. Raises ConfigFailure, upstream's message."""
    context = effective(pod, container)
    if not context.get("runAsNonRoot"):
        return
    where = f'(pod: "{describe(pod)}", container: {container["name"]})'
    user = context.get("runAsUser")
    if user is not None:
        if int(user) == 0:
            raise ConfigFailure(f"container's runAsUser breaks non-root policy {where}")
        return
    if image_uid == 0 or (image_uid is None and not image_user):
        raise ConfigFailure(f"container has runAsNonRoot and image will run as root {where}")
    if image_uid is None:
        raise ConfigFailure(
            f"container has runAsNonRoot and image has non-numeric user ({image_user}), "
            f"cannot verify user is non-root {where}"
        )
