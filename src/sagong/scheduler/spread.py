"""Topology spread constraints of a pod, read once for the filter and the score."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sagong.api.types import Obj
from sagong.scheduler.columns import Ints, Mask
from sagong.scheduler.filters.taint_toleration import intolerable
from sagong.scheduler.node_selectors import required_mask
from sagong.scheduler.plugin import Cycle
from sagong.scheduler.terms import SelectorCache, Term

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class Constraint:
    topology_key: str
    max_skew: int
    min_domains: int
    selector: Obj | None
    honor_affinity: bool
    honor_taints: bool


# Upstream's cluster defaults, for pods that have an owner and say nothing themselves.
SYSTEM_DEFAULTS = (
    Constraint(HOSTNAME, 3, 1, None, True, False),
    Constraint(ZONE, 5, 1, None, True, False),
)


def constraints_of(cycle: Cycle, when_unsatisfiable: str) -> list[Constraint]:
    found = []
    for entry in cycle.pod.spec.get("topologySpreadConstraints") or ():
        if entry["whenUnsatisfiable"] != when_unsatisfiable:
            continue
        found.append(
            Constraint(
                topology_key=entry["topologyKey"],
                max_skew=entry["maxSkew"],
                min_domains=entry.get("minDomains") or 1,
                selector=_merged(entry, cycle.pod.labels),
                honor_affinity=(entry.get("nodeAffinityPolicy") or "Honor") == "Honor",
                honor_taints=(entry.get("nodeTaintsPolicy") or "Ignore") == "Honor",
            )
        )
    return found


def _merged(entry: Obj, labels: Mapping[str, str]) -> Obj | None:
    """The selector with the pod's own values of matchLabelKeys added."""
    selector: Obj | None = entry.get("labelSelector")
    keys = [k for k in entry.get("matchLabelKeys") or () if k in labels]
    if selector is None or not keys:
        return selector
    expressions = [{"key": k, "operator": "In", "values": [labels[k]]} for k in keys]
    return selector | {"matchExpressions": [*selector.get("matchExpressions", ()), *expressions]}


def has_all_keys(cycle: Cycle, constraints: list[Constraint]) -> Mask:
    """Nodes that belong to a domain of every constraint."""
    columns = cycle.state.columns
    found = columns.valid.copy()
    for constraint in constraints:
        found &= columns.label(constraint.topology_key).codes >= 0
    return found


def eligible(cycle: Cycle, constraint: Constraint) -> Mask:
    """Nodes whose pods count for a constraint, by its inclusion policies."""
    columns = cycle.state.columns
    found = columns.valid
    if constraint.honor_affinity:
        found = found & required_mask(columns, cycle.pod.spec)
    if constraint.honor_taints:
        answers = [intolerable(cycle.pod, taints) for taints in columns.taint_classes]
        found = found & ~np.array(answers, np.bool_)[columns.taint_class]
    return found


def matching_pods(cycle: Cycle, constraint: Constraint) -> Ints:
    """How many matching pods each node holds."""
    term = Term.of((cycle.pod.key.namespace,), constraint.selector)
    return cycle.state.terms.matching(term)


def matches_itself(cycle: Cycle, constraint: Constraint, selectors: SelectorCache) -> bool:
    term = Term.of((), constraint.selector)
    return selectors.matches(term.selector, cycle.pod.labels)
