"""Prefer nodes that already hold the pod's large images."""

import numpy as np

from sagong.scheduler.columns import Ints, Mask
from sagong.scheduler.plugin import SCORE_MAX, Cycle, Score

_MEGABYTE = 1024 * 1024
_LEAST = 23 * _MEGABYTE  # below it an image is not worth a preference
_MOST_PER_CONTAINER = 1000 * _MEGABYTE


def normalized_name(image: str) -> str:
    """With the tag ``latest`` where none is given."""
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"


def _score(cycle: Cycle, feasible: Mask) -> Ints | None:
    columns = cycle.state.columns
    wanted = [normalized_name(image) for image in cycle.pod.images]
    total = np.zeros(columns.size, np.float64)
    for image in wanted:
        sizes = np.zeros(columns.size, np.float64)
        for slot, facts in columns.nodes():
            sizes[slot] = facts.images.get(image, 0)
        # An image that few nodes hold counts for less, lest everything gathers there.
        total += sizes * (np.count_nonzero(sizes) / max(len(columns), 1))
    if not total.any():
        return None
    most = _MOST_PER_CONTAINER * max(len(wanted), 1)
    bounded = np.clip(total, _LEAST, most)
    scores: Ints = (SCORE_MAX * (bounded - _LEAST) / (most - _LEAST)).astype(np.int64)
    return scores


SCORE = Score("ImageLocality", 1, _score)
