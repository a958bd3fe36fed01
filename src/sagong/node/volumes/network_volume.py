"""nfs: a directory of a file server, mounted by the system's mount.nfs."""

import os
from collections.abc import Sequence

from sagong.api.types import Obj
from sagong.node.pods.failures import VolumeFailure
from sagong.node.programs import ProgramFailure, run_program
from sagong.node.volumes.context import VolumeContext
from sagong.node.volumes.mounted import Mounted
from sagong.node.volumes.mounts import make_directory
from sagong.node.volumes.persistent_claim import Claimed


async def set_up(volume: Obj, context: VolumeContext) -> Mounted:
    source = volume["nfs"]
    return await _mount(source, volume["name"], context, (), read_only=False)


async def set_up_claimed(claimed: Claimed, context: VolumeContext) -> Mounted:
    spec = claimed.persistent["spec"]
    options = spec.get("mountOptions") or ()
    return await _mount(spec["nfs"], claimed.name, context, options, read_only=claimed.read_only)


async def _mount(
    source: Obj, name: str, context: VolumeContext, options: Sequence[str], *, read_only: bool
) -> Mounted:
    target = context.volume_dir("nfs", name)
    read_only = read_only or bool(source.get("readOnly"))
    if not os.path.ismount(target):  # noqa: ASYNC240
        make_directory(target)
        server = source["server"]
        host = f"[{server}]" if ":" in server else server
        flags = [*options, *(("ro",) if read_only else ())]
        listed = ("-o", ",".join(flags)) if flags else ()
        try:
            await run_program(
                "mount", "-t", "nfs", *listed, f"{host}:{source['path']}", str(target)
            )
        except ProgramFailure as error:
            raise VolumeFailure(f"mount failed: {error}") from error
    return Mounted(target, read_only=read_only)
