"""Bringing raw scores to 0..100 (upstream's ``helper.DefaultNormalizeScore``)."""

import numpy as np

from sagong.scheduler.columns import Ints, Mask
from sagong.scheduler.plugin import SCORE_MAX


def proportional(raw: Ints, feasible: Mask, *, reverse: bool = False) -> Ints:
    """Scale so that the largest is 100; with ``reverse`` the largest becomes 0."""
    largest = int(raw[feasible].max(initial=0))
    if largest == 0:
        return np.full(len(raw), SCORE_MAX if reverse else 0, np.int64)
    scaled = raw * SCORE_MAX // largest
    return SCORE_MAX - scaled if reverse else scaled
