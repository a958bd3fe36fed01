"""ContainerConfig: one container, as the runtime is told of it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sagong.api.types import Obj
from sagong.node.cri.messages import enum_number, make
from sagong.node.pods import labels
from sagong.node.pods.expansion import expand
from sagong.node.pods.failures import ConfigFailure
from sagong.node.pods.resources import ANYWHERE, Binding, container_resources
from sagong.node.pods.sandbox_config import pod_labels
from sagong.node.pods.security import container_security
from sagong.node.pods.spec import spec_hash

_PROPAGATION = {
    "None": "PROPAGATION_PRIVATE",
    "HostToContainer": "PROPAGATION_HOST_TO_CONTAINER",
    "Bidirectional": "PROPAGATION_BIDIRECTIONAL",
}


@dataclass(frozen=True, slots=True)
class MountPlan:
    """One bind mount into the container."""

    host_path: str
    container_path: str
    read_only: bool = False
    propagation: str = "None"
    recursive_read_only: bool = False
    image: str = ""  # mounted by the runtime instead of a host path
    image_sub_path: str = ""


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """One device file of the container."""

    host_path: str
    container_path: str
    permissions: str


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """What the spec does not say."""

    attempt: int
    image_ref: str  # the id by which the runtime has the image
    environment: Mapping[str, str]
    mounts: Sequence[MountPlan]
    memory_capacity_bytes: int
    may_lower_oom_score: bool
    devices: Sequence[DevicePlan] = ()
    target_id: str = ""  # an ephemeral container's target
    volume_groups: Sequence[int] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)  # of device plugins
    cdi_devices: Sequence[str] = ()
    binding: Binding = ANYWHERE


def container_config(pod: Obj, container: Obj, facts: ContainerFacts) -> Any:
    """The message. Command and arguments have their variables replaced."""
    name = container["name"]
    return make(
        "ContainerConfig",
        metadata={"name": name, "attempt": facts.attempt},
        image={"image": facts.image_ref, "user_specified_image": container["image"]},
        command=[expand(word, facts.environment) for word in container.get("command") or []],
        args=[expand(word, facts.environment) for word in container.get("args") or []],
        working_dir=container.get("workingDir"),
        envs=[{"key": k, "value": v.encode()} for k, v in facts.environment.items()],
        mounts=[_mount(mount) for mount in facts.mounts],
        devices=[asdict(device) for device in facts.devices],
        labels={**pod_labels(pod), labels.CONTAINER_NAME: name},
        CDI_devices=[{"name": name} for name in facts.cdi_devices],
        annotations={
            **facts.annotations,
            labels.CONTAINER_HASH: spec_hash(container),
            labels.RESTART_COUNT: str(facts.attempt),
            labels.TERMINATION_PATH: container.get("terminationMessagePath") or "",
            labels.TERMINATION_POLICY: container.get("terminationMessagePolicy") or "File",
            labels.POD_GRACE: str(pod["spec"].get("terminationGracePeriodSeconds", 30)),
        },
        log_path=f"{name}/{facts.attempt}.log",
        stdin=container.get("stdin"),
        stdin_once=container.get("stdinOnce"),
        tty=container.get("tty"),
        linux={
            "resources": container_resources(
                pod,
                container,
                memory_capacity_bytes=facts.memory_capacity_bytes,
                may_lower=facts.may_lower_oom_score,
                binding=facts.binding,
            ),
            "security_context": container_security(
                pod, container, target_id=facts.target_id, volume_groups=facts.volume_groups
            ),
        },
    )


def _mount(mount: MountPlan) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "container_path": mount.container_path,
        "host_path": mount.host_path,
        "readonly": mount.read_only,
        "propagation": enum_number("MountPropagation", _PROPAGATION[mount.propagation]),
    }
    if mount.recursive_read_only:
        fields["recursive_read_only"] = True
    if mount.image:
        fields |= {"image": {"image": mount.image}, "image_sub_path": mount.image_sub_path}
    return fields


def mount_path(path: str) -> str:
    """Where a volumeMount appears: relative paths are below the root."""
    return path if path.startswith("/") else f"/{path}"


def sub_path_of(mount: Obj, environment: Mapping[str, str]) -> str:
    """subPath, or subPathExpr with its variables replaced. Raises ConfigFailure."""
    expression = mount.get("subPathExpr")
    if not expression:
        return str(mount.get("subPath") or "")
    expanded = expand(expression, environment)
    if "$(" in expanded:
        raise ConfigFailure(f"missing value for subPathExpr {expression}")
    return expanded
