"""Growing a mounted volume to its claim's new size: the node's part of volume expansion.

A volume whose capacity is more than its claim's status says has been expanded by its controller;
the node grows the filesystem and writes the claim's status. Semantics: upstream's
``node_expander.go``.
"""

from typing import Protocol

from sagong.api import quantities
from sagong.api.types import Obj
from sagong.api.volumes import CLAIMS
from sagong.node.csi.driver import EXPAND
from sagong.node.csi.source import capability_of, source_of_persistent
from sagong.node.plugins.channel import PluginFailure
from sagong.node.programs import ProgramFailure
from sagong.node.volumes import mounts
from sagong.node.volumes.context import VolumeContext
from sagong.node.volumes.csi_volume import CsiMounter, secrets_of
from sagong.node.volumes.local_volume import filesystem_of, grow_filesystem
from sagong.node.volumes.mounted import Mounted
from sagong.node.volumes.persistent_claim import Claimed

INFEASIBLE_CODES = ("InvalidArgument", "OutOfRange", "NotFound", "Unimplemented")
_CONDITIONS = ("Resizing", "FileSystemResizePending", "NodeResizeError", "ControllerResizeError")


class Emit(Protocol):
    """Records an event about an object."""

    def __call__(self, about: Obj, type_: str, reason: str, message: str) -> None: ...


def is_wanted(claimed: Claimed) -> bool:
    """Whether the volume has become larger than its claim's status says."""
    if claimed.read_only:
        return False
    status: Obj = claimed.claim.get("status") or {}
    if (status.get("allocatedResourceStatuses") or {}).get("storage") == "NodeResizeInfeasible":
        return False
    present = (status.get("capacity") or {}).get("storage")
    volume = (claimed.persistent["spec"].get("capacity") or {}).get("storage")
    if not present or not volume:
        return False
    return quantities.parse(volume).value > quantities.parse(present).value


async def expand_if_wanted(
    claimed: Claimed, mounted: Mounted, context: VolumeContext, csi: CsiMounter, emit: Emit
) -> None:
    """What fails is told as an event and tried again at the next round."""
    if not is_wanted(claimed):
        return
    try:
        await _expand(claimed, mounted, context, csi)
    except (PluginFailure, ProgramFailure) as error:
        message = f'MountVolume.NodeExpandVolume failed for volume "{claimed.name}" : {error}'
        emit(context.pod, "Warning", "VolumeResizeFailed", message)
        if isinstance(error, PluginFailure) and error.code in INFEASIBLE_CODES:
            statuses = {"storage": "NodeResizeInfeasible"}
            await _patch_status(claimed, {"allocatedResourceStatuses": statuses}, context)
        return
    await _patch_status(claimed, _grown(claimed), context)
    message = (
        f'MountVolume.NodeExpandVolume succeeded for volume "{claimed.name}" {context.node.name}'
    )
    for about in (context.pod, claimed.claim):
        emit(about, "Normal", "FileSystemResizeSuccessful", message)


async def _expand(
    claimed: Claimed, mounted: Mounted, context: VolumeContext, csi: CsiMounter
) -> None:
    spec = claimed.persistent["spec"]
    if "csi" not in spec:
        if "local" in spec and not mounted.is_device and (device := mounts.device_at(mounted.path)):
            await grow_filesystem(device, await filesystem_of(device), mounted.path)
        return
    source = source_of_persistent(claimed.persistent, read_only=False)
    driver = csi.drivers.get(source.driver)
    if not await driver.can(EXPAND):
        return
    staging = csi.staging_of(context.pod, source)
    await driver.expand(
        volume_id=source.handle,
        volume_path=str(mounted.path),
        capacity_range={"required_bytes": quantities.parse(spec["capacity"]["storage"]).value},
        staging_target_path=str(staging) if staging else "",
        volume_capability=capability_of(source, finer_modes=False),
        secrets=await secrets_of(source.expand_secret, context),
    )


def _grown(claimed: Claimed) -> Obj:
    """The claim's status after success, as a merge patch."""
    conditions = (claimed.claim.get("status") or {}).get("conditions") or []
    return {
        "capacity": {"storage": claimed.persistent["spec"]["capacity"]["storage"]},
        "conditions": [c for c in conditions if c["type"] not in _CONDITIONS] or None,
        "allocatedResourceStatuses": None,
    }


async def _patch_status(claimed: Claimed, status: Obj, context: VolumeContext) -> None:
    metadata = claimed.claim["metadata"]
    await context.objects.patch_status(
        CLAIMS, metadata["namespace"], metadata["name"], {"status": status}
    )
