"""What a claim of a pod leads to: its PersistentVolume, if it may be mounted here.

Semantics and messages: upstream's ``desired_state_of_world_populator.go``.
"""

from dataclasses import dataclass

from sagong.api.errors import ApiError
from sagong.api.placement import node_matches
from sagong.api.types import Obj
from sagong.api.volumes import mode_of
from sagong.node.pods.failures import ClaimFailure, VolumeFailure
from sagong.node.pods.spec import all_containers
from sagong.node.volumes.context import VolumeContext

_GROUP_ANNOTATION = "pv.beta.kubernetes.io/gid"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A bound claim with its volume."""

    claim: Obj
    persistent: Obj
    read_only: bool

    @property
    def name(self) -> str:
        return str(self.persistent["metadata"]["name"])

    @property
    def is_block(self) -> bool:
        return mode_of(self.persistent) == "Block"

    @property
    def group(self) -> int | None:
        """A group that the volume's annotation gives to processes."""
        annotations = self.persistent["metadata"].get("annotations") or {}
        text = annotations.get(_GROUP_ANNOTATION) or ""
        return int(text) if text.isdigit() else None


def claim_name(volume: Obj, pod: Obj) -> str | None:
    """The claim of a pod's volume; None if the volume is of another kind."""
    if "ephemeral" in volume:
        return f"{pod['metadata']['name']}-{volume['name']}"
    claim = volume.get("persistentVolumeClaim")
    return str(claim["claimName"]) if claim else None


async def resolve(volume: Obj, context: VolumeContext) -> Claimed:
    """Raises ClaimFailure while the claim is not bound."""
    name = claim_name(volume, context.pod) or ""
    try:
        claim = await _claim(context, name, is_ephemeral="ephemeral" in volume)
        persistent = await _persistent_volume(context, claim)
        _check_mode(volume["name"], context.pod, mode_of(persistent))
    except ClaimFailure as error:
        where = f"{context.namespace}/{name}"
        raise ClaimFailure(f"error processing PVC {where}: {error}") from error
    source = volume.get("persistentVolumeClaim") or {}
    return Claimed(claim, persistent, bool(source.get("readOnly")))


def check_node(claimed: Claimed, node: Obj) -> None:
    """The volume's node affinity must hold here. Raises VolumeFailure."""
    required = (claimed.persistent["spec"].get("nodeAffinity") or {}).get("required")
    if required and not node_matches(required, node):
        raise NodeMismatch(
            f'NodeAffinity check failed for volume "{claimed.name}" : no matching NodeSelectorTerms'
        )


class NodeMismatch(VolumeFailure):
    def event_text(self, volume: str) -> str:
        return f"MountVolume.{self}"


async def _claim(context: VolumeContext, name: str, *, is_ephemeral: bool) -> Obj:
    try:
        claim = await context.objects.get("persistentvolumeclaims", context.namespace, name)
    except ApiError as error:
        raise ClaimFailure(f"failed to fetch PVC from API server: {error}") from error
    if claim is None:
        raise ClaimFailure(
            f'failed to fetch PVC from API server: persistentvolumeclaims "{name}" not found'
        )
    if is_ephemeral:
        owners = claim["metadata"].get("ownerReferences") or []
        if not any(owner["uid"] == context.pod["metadata"]["uid"] for owner in owners):
            where = f"{context.namespace}/{context.pod['metadata']['name']}"
            raise ClaimFailure(
                f"PVC {context.namespace}/{name} was not created for pod {where} (pod is not owner)"
            )
    if claim["metadata"].get("deletionTimestamp"):
        raise ClaimFailure("PVC is being deleted")
    if (claim.get("status") or {}).get("phase") != "Bound":
        raise ClaimFailure("PVC is not bound")
    if not claim["spec"].get("volumeName"):
        raise ClaimFailure("PVC has empty pvc.Spec.VolumeName")
    return claim


async def _persistent_volume(context: VolumeContext, claim: Obj) -> Obj:
    name = claim["spec"]["volumeName"]
    try:
        volume = await context.objects.get("persistentvolumes", "", name)
    except ApiError as error:
        raise ClaimFailure(f"failed to fetch PV {name} from API server: {error}") from error
    if volume is None:
        raise ClaimFailure(
            f'failed to fetch PV {name} from API server: persistentvolumes "{name}" not found'
        )
    reference = volume["spec"].get("claimRef")
    if reference is None:
        raise ClaimFailure(
            f"found PV object {name} but it has a nil pv.Spec.ClaimRef indicating it is not yet "
            "bound to the claim"
        )
    if reference.get("uid") != claim["metadata"]["uid"]:
        raise ClaimFailure(
            f"found PV object {name} but its pv.Spec.ClaimRef.UID {reference.get('uid', '')} does "
            f"not point to claim.UID {claim['metadata']['uid']}"
        )
    return volume


def _check_mode(name: str, pod: Obj, mode: str) -> None:
    """Filesystems are mounted, block devices are mapped."""
    for _, container in all_containers(pod):
        for field, wanted in (("volumeMounts", "Filesystem"), ("volumeDevices", "Block")):
            uses = any(use["name"] == name for use in container.get(field) or [])
            if uses and mode != wanted:
                raise ClaimFailure(
                    f"volume {name} has volumeMode {mode}, but is specified in {field}"
                )
