"""persistentVolumeClaim and ephemeral volumes: the claim's volume, if it lies on this node."""

from pathlib import Path

from sagong.api.types import Obj
from sagong.node.pods.failures import VolumeFailure
from sagong.node.volumes.context import VolumeContext
from sagong.node.volumes.host_path import check_path
from sagong.node.volumes.mounted import Mounted
from sagong.node.volumes.ownership import own_by_group

_GROUP_ANNOTATION = "pv.beta.kubernetes.io/gid"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"


async def set_up(volume: Obj, context: VolumeContext) -> Mounted:
    """Raises VolumeFailure while the claim is not bound, and for volumes of other kinds."""
    source = volume.get("persistentVolumeClaim") or {}
    name = source.get("claimName") or f"{context.pod['metadata']['name']}-{volume['name']}"
    claim = await _claim(context, name, is_ephemeral="ephemeral" in volume)
    persistent = await _persistent_volume(context, claim)
    path = _path_of(persistent)
    policy = (context.pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy")
    if context.fs_group is not None and "local" in persistent["spec"] and path.is_dir():
        own_by_group(path, context.fs_group, only_on_mismatch=policy == "OnRootMismatch")
    annotation = (persistent["metadata"].get("annotations") or {}).get(_GROUP_ANNOTATION)
    return Mounted(
        path,
        read_only=bool(source.get("readOnly")),
        group=int(annotation) if annotation and annotation.isdigit() else None,
    )


async def _claim(context: VolumeContext, name: str, *, is_ephemeral: bool) -> Obj:
    claim = await context.objects.get("persistentvolumeclaims", context.namespace, name)
    if claim is None:
        raise VolumeFailure(f'persistentvolumeclaim "{name}" not found')
    if is_ephemeral:
        owners = claim["metadata"].get("ownerReferences") or []
        if not any(owner["uid"] == context.pod["metadata"]["uid"] for owner in owners):
            raise VolumeFailure(f"PVC {context.namespace}/{name} was not created for this pod")
    if (claim.get("status") or {}).get("phase") != "Bound" or not claim["spec"].get("volumeName"):
        raise VolumeFailure(f'persistentvolumeclaim "{name}" not bound')
    if claim["metadata"].get("deletionTimestamp") and "kubernetes.io/pvc-protection" not in (
        claim["metadata"].get("finalizers") or []
    ):
        raise VolumeFailure(f'persistentvolumeclaim "{name}" is being deleted')
    return claim


async def _persistent_volume(context: VolumeContext, claim: Obj) -> Obj:
    name = claim["spec"]["volumeName"]
    volume = await context.objects.get("persistentvolumes", "", name)
    if volume is None:
        raise VolumeFailure(f'persistentvolume "{name}" not found')
    bound_to = (volume["spec"].get("claimRef") or {}).get("uid")
    if bound_to != claim["metadata"]["uid"]:
        raise VolumeFailure(
            f'PV "{name}" is bound to PVC with uid "{bound_to}", but expected '
            f'"{claim["metadata"]["uid"]}"'
        )
    return volume


def _path_of(persistent: Obj) -> Path:
    spec = persistent["spec"]
    if "hostPath" in spec:
        path = Path(spec["hostPath"]["path"])
        check_path(path, spec["hostPath"].get("type") or "")
        return path
    if "local" in spec:
        path = Path(spec["local"]["path"])
        # A provisioner that has no process on this node leaves the directory to its first use.
        if _PROVISIONED_BY in (persistent["metadata"].get("annotations") or {}):
            path.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            raise VolumeFailure(f'path "{path}" does not exist')
        return path
    kinds = ", ".join(key for key in spec if isinstance(spec[key], dict) and key != "claimRef")
    raise VolumeFailure(f"no volume plugin matched (spec of {kinds})")
