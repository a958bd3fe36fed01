"""Keeping containers' logs within bounds: ``0.log`` is renamed with its time, older ones are
compressed, and only so many are kept (upstream's ``pkg/kubelet/logs``)."""

import gzip
import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path

from sagong.core.clock import Clock
from sagong.node.config import NodeConfig
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeFailure
from sagong.node.pods.model import SeenContainer

log = logging.getLogger(__name__)


async def rotate_logs(
    cri: CriClient, container: SeenContainer, config: NodeConfig, clock: Clock
) -> bool:
    """Rotate one running container's log if it is too long; whether it was."""
    path = Path(container.log_path)
    if not container.log_path or _size(path) < config.log_bytes_max:
        return False
    rotated = _rename(path, clock.now())
    try:
        await cri.reopen_log(container.id)
    except RuntimeFailure as error:
        # The runtime still writes to the old file: give it its name back.
        log.warning("cannot reopen the log of %s: %s", container.name, error)
        rotated.replace(path)
        return False
    _tidy(path, rotated, config.log_files_max)
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _rename(path: Path, now: float) -> Path:
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M%S")
    return path.rename(path.with_name(f"{path.name}.{stamp}"))


def _tidy(path: Path, newest: Path, files_max: int) -> None:
    """Compress all but the newest, which a reader may still follow; remove the oldest."""
    rotated = sorted(path.parent.glob(f"{path.name}.*"))
    # The current file and the newest rotated one count too.
    for old in rotated[: max(0, len(rotated) - (files_max - 1))]:
        old.unlink(missing_ok=True)
    for plain in rotated:
        if plain.exists() and plain != newest and plain.suffix != ".gz":
            packed = plain.with_name(plain.name + ".gz")
            with plain.open("rb") as source, gzip.open(packed, "wb") as target:
                shutil.copyfileobj(source, target)
            plain.unlink()
