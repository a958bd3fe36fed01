"""Removing images that nobody uses when the disk fills up: above the high mark, down to the low.

Least recently used first; images in use and the sandbox's own are never touched (upstream's
``image_gc_manager``).
"""

import logging
from collections.abc import Sequence

from sagong.core.clock import Clock
from sagong.node.config import NodeConfig
from sagong.node.cri.client import CriClient
from sagong.node.images.usage import DiskUsage, plan_removals, read_disk_usage

log = logging.getLogger(__name__)

MIN_AGE_SECONDS = 120.0  # upstream's imageMinimumGCAge: a fresh pull is about to be used


class ImageCollector:
    """Remembers when each image was last seen in use."""

    def __init__(self, config: NodeConfig, cri: CriClient, clock: Clock) -> None:
        self._config = config
        self._cri = cri
        self._clock = clock
        self._first_seen: dict[str, float] = {}
        self._last_used: dict[str, float] = {}

    async def collect(self) -> int:
        """Look once and remove what must go; how many images went. Raises RuntimeFailure."""
        chosen = plan_removals(
            read_disk_usage(self._config.data_dir),
            await self._unused(MIN_AGE_SECONDS),
            self._last_used,
            high_percent=self._config.image_gc_high_percent,
            low_percent=self._config.image_gc_low_percent,
        )
        return await self._remove(chosen)

    async def remove_unused(self) -> int:
        """Remove every image that nothing uses: the disk is needed. Raises RuntimeFailure."""
        return await self._remove(list(await self._unused(0.0)))

    async def _unused(self, min_age_seconds: float) -> dict[str, int]:
        """Sizes of images that nothing uses, by id."""
        images = await self._cri.list_images()
        used = {c.image.image for c in await self._cri.list_containers()}
        used |= {c.image_ref for c in await self._cri.list_containers()}
        now = self._clock.monotonic()
        sizes = {}
        for image in images:
            self._first_seen.setdefault(image.id, now)
            names = {image.id, *image.repo_tags, *image.repo_digests}
            if names & used or self._config.sandbox_image in names or image.pinned:
                self._last_used[image.id] = now
            elif now - self._first_seen[image.id] >= min_age_seconds:
                sizes[image.id] = int(image.size)
        self._forget({image.id for image in images})
        return sizes

    async def _remove(self, chosen: Sequence[str]) -> int:
        for image_id in chosen:
            log.info("removing image %s: the disk is filling up", image_id)
            await self._cri.remove_image(image_id)
        return len(chosen)

    def _forget(self, present: set[str]) -> None:
        for known in (self._first_seen, self._last_used):
            for image_id in [i for i in known if i not in present]:
                del known[image_id]


__all__ = ["DiskUsage", "ImageCollector"]
