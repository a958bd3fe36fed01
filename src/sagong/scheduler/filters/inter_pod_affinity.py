"""Nodes that pods' required affinity or anti-affinity rules out, in both directions."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.columns import At, Mask
from sagong.scheduler.plugin import Cycle, Filter, Refusal, Scope
from sagong.scheduler.terms import OwnedTerm, Term

NAME = "InterPodAffinity"
_AFFINITY = "node(s) didn't match pod affinity rules"
_ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
_EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"
_REPELLING = frozenset({"required-anti"})


def _unattracted(cycle: Cycle, wanted: Sequence[OwnedTerm], at: At) -> Mask:
    """Nodes where some required affinity term finds no pod. Only pods that match *all* terms count.

    The first pod of a group that wants to be with its own kind is let in anywhere: no pod matches
    all terms yet, and the pod itself does.
    """
    terms, columns = cycle.state.terms, cycle.state.columns
    counts = terms.counts(Term(tuple(terms.condition(term) for term in wanted)))
    refused = np.zeros(len(columns.valid[at]), np.bool_)
    unlabelled = refused.copy()
    nobody = True
    for term in wanted:
        codes = columns.label(term.topology_key).codes[at]
        sums = counts.sums(term.topology_key)
        nobody = nobody and not (counts.total and sums.any())
        refused |= sums[codes] <= 0
        unlabelled |= codes < 0
    if nobody and all(terms.concerns(term, cycle.template) for term in wanted):
        return unlabelled
    return refused


def _repelled(cycle: Cycle, unwanted: Sequence[OwnedTerm], at: At) -> Mask:
    terms, columns = cycle.state.terms, cycle.state.columns
    refused = np.zeros(len(columns.valid[at]), np.bool_)
    for term in unwanted:
        counts = terms.counts(Term((terms.condition(term),)))
        if counts.total:
            codes = columns.label(term.topology_key).codes[at]
            refused |= counts.sums(term.topology_key)[codes] > 0
    return refused


def _existing(cycle: Cycle, at: At) -> Mask | None:
    """Nodes where pods are that want this one not to be near; None: there are no such pods."""
    columns = cycle.state.columns
    concerning = cycle.state.terms.concerning(_REPELLING, cycle.pod)
    if not concerning:
        return None
    refused = np.zeros(len(columns.valid[at]), np.bool_)
    for term, sums in concerning:
        refused |= sums[columns.label(term.topology_key).codes[at]] > 0
    return refused


def _refuse(cycle: Cycle, at: At) -> Sequence[Refusal]:
    """Of several rules that a node breaks, the first counts."""
    terms, template = cycle.state.terms, cycle.template
    refusals = []
    if template.affinity:
        if wanted := terms.own("required", template):
            refusals.append(Refusal(_AFFINITY, _unattracted(cycle, wanted, at)))
        if unwanted := terms.own("required-anti", template):
            mask = _repelled(cycle, unwanted, at)
            refusals.append(Refusal(_ANTI_AFFINITY, mask, evictable=True))
    existing = _existing(cycle, at)
    if existing is not None:
        refusals.append(Refusal(_EXISTING, existing, evictable=True))
    for index, refusal in enumerate(refusals):
        for earlier in refusals[:index]:
            refusal.mask[earlier.mask] = False
    return refusals


FILTER = Filter(NAME, Scope.CLUSTER, _refuse)
