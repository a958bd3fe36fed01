"""``/var/lib/kubelet``: where drivers and plugins of other makers look for the agent's files.

Their manifests mount ``/var/lib/kubelet/plugins``, ``plugins_registry`` and ``pods`` from the node.
The first agent of a machine makes it a link to its own directory, unless somebody else has one
there; further agents of the same machine keep to their own directories.
"""

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

KUBELET_DIRECTORY = Path("/var/lib/kubelet")


def claim(directory: Path, link: Path = KUBELET_DIRECTORY) -> Path:
    """The path by which plugins reach an agent's directory: the link, or the directory itself."""
    if link.is_symlink() and not link.exists():
        log.info("%s led to %s, which is gone", link, os.readlink(link))
        link.unlink(missing_ok=True)
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(directory)
    except FileExistsError:
        return link if _is_ours(link, directory) else directory
    except OSError as error:
        log.warning("%s cannot be made, plugins must use %s: %s", link, directory, error)
        return directory
    return link


def release(directory: Path, link: Path = KUBELET_DIRECTORY) -> None:
    """Take the link away if it is this agent's."""
    if _is_ours(link, directory):
        link.unlink(missing_ok=True)


def _is_ours(link: Path, directory: Path) -> bool:
    return link.is_symlink() and os.readlink(link) == str(directory)
