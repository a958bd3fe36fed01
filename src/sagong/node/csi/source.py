"""What a CSI volume is, out of a PersistentVolume or a pod's inline volume. Pure.

Semantics: upstream's ``pkg/volume/csi`` (``csi_mounter.go``, ``csi_client.go``).
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sagong.api.types import Obj
from sagong.api.volumes import mode_of, unique_name
from sagong.node.csi.driver import csi_messages

_MODE = "VolumeCapability.AccessMode.Mode"
_SINGLE_WRITER = {"ReadWriteOnce", "ReadWriteOncePod"}
_MODES = {
    "ReadOnlyMany": "MULTI_NODE_READER_ONLY",
    "ReadWriteMany": "MULTI_NODE_MULTI_WRITER",
    "ReadWriteOnce": "SINGLE_NODE_WRITER",
    "ReadWriteOncePod": "SINGLE_NODE_WRITER",
}
# Of drivers that tell several writers on one node from one.
_FINER_MODES = {
    "ReadWriteOnce": "SINGLE_NODE_MULTI_WRITER",
    "ReadWriteOncePod": "SINGLE_NODE_SINGLE_WRITER",
}


class Lifecycle(Enum):
    """``volumeLifecycleModes`` of a CSIDriver."""

    PERSISTENT = "Persistent"
    EPHEMERAL = "Ephemeral"


@dataclass(frozen=True, slots=True)
class SecretName:
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class CsiSource:
    """One volume for one pod."""

    name: str  # the PersistentVolume's, or the volume's in the pod
    driver: str
    handle: str
    lifecycle: Lifecycle
    fs_type: str = ""
    read_only: bool = False
    is_block: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    access_modes: Sequence[str] = ()
    mount_options: Sequence[str] = ()
    stage_secret: SecretName | None = None
    publish_secret: SecretName | None = None
    expand_secret: SecretName | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What two pods that use the same volume share."""
        return self.driver, self.handle

    @property
    def unique_name(self) -> str:
        """As in ``volumesInUse`` and ``volumesAttached`` of a node's status."""
        return unique_name(self.driver, self.handle)


def source_of_persistent(volume: Obj, *, read_only: bool) -> CsiSource:
    spec = volume["spec"]
    csi = spec["csi"]
    return CsiSource(
        name=volume["metadata"]["name"],
        driver=csi["driver"],
        handle=csi["volumeHandle"],
        lifecycle=Lifecycle.PERSISTENT,
        fs_type=csi.get("fsType") or "",
        read_only=read_only or bool(csi.get("readOnly")),
        is_block=mode_of(volume) == "Block",
        attributes=csi.get("volumeAttributes") or {},
        access_modes=spec.get("accessModes") or (),
        mount_options=spec.get("mountOptions") or (),
        stage_secret=_secret(csi.get("nodeStageSecretRef")),
        publish_secret=_secret(csi.get("nodePublishSecretRef")),
        expand_secret=_secret(csi.get("nodeExpandSecretRef")),
    )


def source_of_inline(volume: Obj, pod: Obj) -> CsiSource:
    csi, metadata = volume["csi"], pod["metadata"]
    digest = hashlib.sha256(f"{metadata['uid']}{volume['name']}".encode()).hexdigest()
    return CsiSource(
        name=volume["name"],
        driver=csi["driver"],
        handle=f"csi-{digest}",
        lifecycle=Lifecycle.EPHEMERAL,
        fs_type=csi.get("fsType") or "",
        read_only=bool(csi.get("readOnly")),
        attributes=csi.get("volumeAttributes") or {},
        publish_secret=_secret(csi.get("nodePublishSecretRef"), metadata["namespace"]),
    )


def _secret(reference: Obj | None, namespace: str = "") -> SecretName | None:
    if not reference:
        return None
    return SecretName(reference.get("namespace") or namespace, reference["name"])


def capability_of(source: CsiSource, *, finer_modes: bool, mount_group: str = "") -> dict[str, Any]:
    """VolumeCapability. ``finer_modes``: the driver can SINGLE_NODE_MULTI_WRITER."""
    mode = next(iter(source.access_modes), "ReadWriteOnce")
    name = (_FINER_MODES if finer_modes else {}).get(mode) or _MODES[mode]
    access = {"access_mode": {"mode": csi_messages().enum_number(_MODE, name)}}
    if source.is_block:
        return {"block": {}, **access}
    mount: dict[str, Any] = {
        "fs_type": source.fs_type,
        "mount_flags": list(source.mount_options),
        "volume_mount_group": mount_group,
    }
    return {"mount": mount, **access}


def pod_facts(pod: Obj, lifecycle: Lifecycle) -> dict[str, str]:
    """The volume context of drivers with podInfoOnMount."""
    prefix, metadata = "csi.storage.k8s.io/", pod["metadata"]
    return {
        f"{prefix}pod.name": metadata["name"],
        f"{prefix}pod.namespace": metadata["namespace"],
        f"{prefix}pod.uid": metadata["uid"],
        f"{prefix}serviceAccount.name": pod["spec"].get("serviceAccountName") or "",
        f"{prefix}ephemeral": str(lifecycle is Lifecycle.EPHEMERAL).lower(),
    }


def owns_by_group(source: CsiSource, policy: str) -> bool:
    """Whether fsGroup is applied to the files, by the driver's fsGroupPolicy."""
    if policy == "None" or source.read_only or source.is_block:
        return False
    if policy == "File":
        return True
    if not source.fs_type:
        return False
    return source.lifecycle is Lifecycle.EPHEMERAL or bool(
        _SINGLE_WRITER & set(source.access_modes)
    )


def lifecycle_problem(source: CsiSource, driver: Obj | None) -> str:
    """Why the driver's CSIDriver object forbids this use; "" if it does not."""
    modes: Collection[str] = ((driver or {}).get("spec") or {}).get("volumeLifecycleModes") or (
        "Persistent",
    )
    if driver is None and source.lifecycle is Lifecycle.EPHEMERAL:
        return (
            f'volume mode "Ephemeral" not supported by driver {source.driver} (no CSIDriver object)'
        )
    if source.lifecycle.value in modes:
        return ""
    listed = " ".join(f'"{mode}"' for mode in modes)
    return (
        f'volume mode "{source.lifecycle.value}" not supported by driver {source.driver} '
        f"(only supports [{listed}])"
    )
