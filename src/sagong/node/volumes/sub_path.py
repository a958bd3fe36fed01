"""subPath: a file or directory inside a volume, opened so that no symbolic link leads out of it.

The place is found step by step with open file descriptors that follow no link, and the mount is
made from the descriptor: what is bound is what was checked, whatever happens to names meanwhile.
"""

import os
from pathlib import Path, PurePosixPath

from sagong.node.pods.failures import ConfigFailure
from sagong.node.volumes import mounts


def check(sub_path: str) -> None:
    """Refuse absolute paths and ``..``. Raises ConfigFailure."""
    path = PurePosixPath(sub_path)
    if path.is_absolute() or ".." in path.parts:
        raise ConfigFailure(f'subPath "{sub_path}" must be a relative path and not contain ".."')


def bind_sub_path(volume: Path, sub_path: str, target: Path) -> Path:
    """Bind ``volume/sub_path`` to ``target``, making missing directories (0750 as upstream's).

    Returns the target. Raises ConfigFailure if the path leaves the volume.
    """
    check(sub_path)
    descriptor = _open_inside(volume, PurePosixPath(sub_path).parts)
    try:
        is_directory = os.path.isdir(f"/proc/self/fd/{descriptor}")
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_directory:
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        if target in mounts.mounts_under(target):
            mounts.unmount(target)
        mounts.bind(f"/proc/self/fd/{descriptor}", target)
    finally:
        os.close(descriptor)
    return target


def _open_inside(volume: Path, parts: tuple[str, ...]) -> int:
    """A descriptor (O_PATH) of the place. Links inside the volume are followed by hand: those of
    configMap volumes (``key -> ..data/key``) must work, those that lead out must not."""
    root = os.path.realpath(volume)
    current = root
    pending = list(parts)
    for _ in range(255):  # more links than this are a loop
        if not pending:
            break
        candidate = os.path.join(current, pending.pop(0))
        if not os.path.lexists(candidate):
            os.mkdir(candidate, 0o750)
        current = os.path.realpath(candidate)
        if current != root and not current.startswith(root + "/"):
            raise ConfigFailure(f'subPath "{"/".join(parts)}" leads out of its volume')
    descriptor = os.open(current, os.O_PATH | os.O_NOFOLLOW)
    # What was opened is looked at once more: a name may have been exchanged since.
    opened = os.readlink(f"/proc/self/fd/{descriptor}")
    if opened != root and not opened.startswith(root + "/"):
        os.close(descriptor)
        raise ConfigFailure(f'subPath "{"/".join(parts)}" leads out of its volume')
    return descriptor
