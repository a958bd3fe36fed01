"""Nodes that pods' required affinity or anti-affinity rules out, in both directions."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.columns import Ints, Mask
from sagong.scheduler.plugin import Cycle, Filter, Refusal
from sagong.scheduler.terms import OwnedTerm, Term, domain_counts, required_terms

_AFFINITY = "node(s) didn't match pod affinity rules"
_ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
_EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"


def term_counts(cycle: Cycle, term: OwnedTerm) -> Ints:
    """How many pods that a term speaks of are in each node's domain."""
    terms, columns = cycle.state.terms, cycle.state.columns
    namespaces = terms.namespaces_of(term)
    per_node = terms.matching(Term(namespaces, term.selector))
    return domain_counts(columns.label(term.topology_key).codes, per_node)


_REPELLING = frozenset({"required-anti"})


def _existing(cycle: Cycle) -> Mask | None:
    """Nodes where pods are that want this one not to be near; None: there are no such pods."""
    columns = cycle.state.columns
    terms = list(cycle.state.terms.owned_terms(_REPELLING, cycle.pod))
    if not terms:
        return None
    refused = np.zeros(columns.size, np.bool_)
    for term, owners in terms:
        refused |= domain_counts(columns.label(term.topology_key).codes, owners) > 0
    return refused


def _unattracted(cycle: Cycle, wanted: list[OwnedTerm]) -> Mask:
    """Nodes where some required affinity term finds no pod.

    The first pod of a group that wants to be with its own kind is let in anywhere: no pod matches
    all terms yet, and the pod itself does.
    """
    columns = cycle.state.columns
    refused = np.zeros(columns.size, np.bool_)
    labelled = columns.valid.copy()
    nobody = True
    for term in wanted:
        counts = term_counts(cycle, term)
        nobody = nobody and not counts.any()
        refused |= counts == 0
        labelled &= columns.label(term.topology_key).codes >= 0
    if nobody and all(cycle.state.terms.concerns(term, cycle.pod) for term in wanted):
        return ~labelled
    return refused


def _repelled(cycle: Cycle, unwanted: list[OwnedTerm]) -> Mask:
    refused = np.zeros(cycle.state.columns.size, np.bool_)
    for term in unwanted:
        refused |= term_counts(cycle, term) > 0
    return refused


def _refuse(cycle: Cycle) -> Sequence[Refusal]:
    refusals = []
    wanted = required_terms(cycle.pod, "podAffinity")
    if wanted:
        refusals.append(Refusal(_AFFINITY, _unattracted(cycle, wanted)))
    unwanted = required_terms(cycle.pod, "podAntiAffinity")
    if unwanted:
        repelled = _repelled(cycle, unwanted)
        for earlier in refusals:
            repelled &= ~earlier.mask
        refusals.append(Refusal(_ANTI_AFFINITY, repelled, evictable=True))
    existing = _existing(cycle)
    if existing is None:
        return refusals
    for earlier in refusals:
        existing &= ~earlier.mask
    refusals.append(Refusal(_EXISTING, existing, evictable=True))
    return refusals


FILTER = Filter("InterPodAffinity", _refuse)
