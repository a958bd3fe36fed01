"""Prefer nodes by the weights of preferred node affinity terms."""

from collections.abc import Sequence

import numpy as np

from sagong.api.types import Obj
from sagong.scheduler.columns import At, Ints, Mask
from sagong.scheduler.filters.node_affinity import NAME
from sagong.scheduler.node_selectors import NodeTerm, node_term
from sagong.scheduler.plugin import Cycle, Scope, Score
from sagong.scheduler.scores.normalize import proportional

_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

Preferences = Sequence[tuple[NodeTerm, int]]


def _preferences(affinity: Obj | None) -> Preferences:
    entries = (affinity or {}).get(_PREFERRED) or ()
    return [(node_term(entry["preference"]), entry["weight"]) for entry in entries]


def _raw(cycle: Cycle, at: At, feasible: Mask, added: Preferences) -> Ints | None:
    own = _preferences(cycle.template.affinity.get("nodeAffinity"))
    if not own and not added:
        return None
    columns = cycle.state.columns
    raw = np.zeros(len(columns.valid[at]), np.int64)
    for term, weight in (*added, *own):
        # A preference without expressions matches no node.
        raw += np.where(term.mask(columns, at), weight, 0)
    return raw


def score_of(arguments: Obj) -> Score:
    """From ``NodeAffinityArgs``."""
    added = _preferences(arguments.get("addedAffinity"))
    return Score(
        NAME,
        Scope.NODES,
        lambda cycle, at, feasible: _raw(cycle, at, feasible, added),
        proportional,
    )
