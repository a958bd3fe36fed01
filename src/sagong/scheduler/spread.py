"""Topology spread constraints of a pod, read once for the filter and the score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sagong.api.types import Obj
from sagong.scheduler.columns import ALL, Ints, Mask
from sagong.scheduler.filters.taint_toleration import intolerable
from sagong.scheduler.node_selectors import is_selective, required_mask
from sagong.scheduler.plugin import Cycle
from sagong.scheduler.terms import DomainCounts, Term, canonical

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
    when_unsatisfiable: str = "ScheduleAnyway"


@dataclass(frozen=True, slots=True)
class Defaults:
    """Constraints for pods that have none, with the selector of their service or workload."""

    constraints: Sequence[Constraint]
    # Upstream's own, which also apply to nodes that lack some of the topology keys.
    system: bool


SYSTEM_DEFAULTS = Defaults(
    (
        Constraint(HOSTNAME, 3, 1, None, True, False),
        Constraint(ZONE, 5, 1, None, True, False),
    ),
    system=True,
)


def defaults_of(arguments: Obj) -> Defaults:
    """From ``PodTopologySpreadArgs``, which have been validated."""
    if arguments.get("defaultingType", "System") == "System":
        return SYSTEM_DEFAULTS
    entries = arguments.get("defaultConstraints") or ()
    return Defaults([_constraint(entry, {}) for entry in entries], system=False)


@dataclass(frozen=True, slots=True)
class Spread:
    """A pod's constraints of one kind, and whether nodes need all of their keys to count."""

    constraints: Sequence[Constraint]
    all_keys: bool


def spread_of(cycle: Cycle, when_unsatisfiable: str, defaults: Defaults) -> Spread:
    entries = cycle.template.spread
    if entries:
        own = [
            _constraint(entry, cycle.template.labels)
            for entry in entries
            if entry["whenUnsatisfiable"] == when_unsatisfiable
        ]
        return Spread(own, all_keys=True)
    selector = cycle.default_selector
    if selector is None:
        return Spread((), all_keys=True)
    found = [
        _with_selector(c, selector)
        for c in defaults.constraints
        if c.when_unsatisfiable == when_unsatisfiable
    ]
    return Spread(found, all_keys=not defaults.system)


def _with_selector(c: Constraint, selector: Obj) -> Constraint:
    return Constraint(
        c.topology_key,
        c.max_skew,
        c.min_domains,
        selector,
        c.honor_affinity,
        c.honor_taints,
        c.when_unsatisfiable,
    )


def _constraint(entry: Obj, labels: Mapping[str, str]) -> Constraint:
    return Constraint(
        topology_key=entry["topologyKey"],
        max_skew=entry["maxSkew"],
        min_domains=entry.get("minDomains") or 1,
        selector=_merged(entry, labels),
        honor_affinity=(entry.get("nodeAffinityPolicy") or "Honor") == "Honor",
        honor_taints=(entry.get("nodeTaintsPolicy") or "Ignore") == "Honor",
        when_unsatisfiable=entry["whenUnsatisfiable"],
    )


def _merged(entry: Obj, labels: Mapping[str, str]) -> Obj | None:
    """The selector with the pod's own values of matchLabelKeys added."""
    selector: Obj | None = entry.get("labelSelector")
    keys = [k for k in entry.get("matchLabelKeys") or () if k in labels]
    if selector is None or not keys:
        return selector
    expressions = [{"key": k, "operator": "In", "values": [labels[k]]} for k in keys]
    return selector | {"matchExpressions": [*selector.get("matchExpressions", ()), *expressions]}


def has_all_keys(cycle: Cycle, constraints: Sequence[Constraint]) -> Mask:
    """Nodes that belong to a domain of every constraint."""
    columns = cycle.state.columns
    name = ("keys", *(c.topology_key for c in constraints))
    found = cycle.masks.get(name)
    if found is None:
        found = columns.valid.copy()
        for constraint in constraints:
            found &= columns.label(constraint.topology_key).codes >= 0
        cycle.masks[name] = found
    return found


def counted(cycle: Cycle, spread: Spread, constraint: Constraint) -> Mask | None:
    """Nodes whose pods count for a constraint; None: those of all nodes that have its key.

    By the constraint's inclusion policies, and by whether nodes need the other keys too.
    """
    policies = (constraint.honor_affinity, constraint.honor_taints, constraint.topology_key)
    name = ("counted", spread.all_keys, *(c.topology_key for c in spread.constraints), *policies)
    found = cycle.masks.get(name)
    if found is None:
        found = _counted(cycle, spread, constraint)
        labelled = cycle.state.columns.label(constraint.topology_key).codes >= 0
        if np.array_equal(found & labelled, labelled & cycle.state.columns.valid):
            found = np.zeros(0, np.bool_)  # stands for all of them
        cycle.masks[name] = found
    return found if len(found) else None


def _counted(cycle: Cycle, spread: Spread, constraint: Constraint) -> Mask:
    columns = cycle.state.columns
    found = columns.valid.copy()
    if spread.all_keys:
        found &= has_all_keys(cycle, spread.constraints)
    if constraint.honor_affinity and is_selective(cycle.template):
        found &= required_mask(columns, cycle.template, ALL)
    if constraint.honor_taints:
        answers = [intolerable(cycle.template, taints) for taints in columns.taint_classes]
        found &= ~np.array(answers, np.bool_)[columns.taint_class]
    return found


def matching_pods(cycle: Cycle, constraint: Constraint) -> DomainCounts:
    """Where matching pods are; pods that are being deleted, and empty selectors, count nothing."""
    selector = constraint.selector
    if selector is not None and not any(selector.values()):
        selector = None
    term = Term.of((cycle.template.namespace,), selector, staying=True)
    return cycle.state.terms.counts(term)


def domain_sums(
    cycle: Cycle, spread: Spread, constraint: Constraint, pods: DomainCounts
) -> tuple[Ints, Mask]:
    """Pods by the codes of the constraint's domains, and which codes are domains at all."""
    label = cycle.state.columns.label(constraint.topology_key)
    mask = counted(cycle, spread, constraint)
    size = len(label.values) + 1
    name = ("domains", constraint.topology_key, None if mask is None else id(mask))
    domains = cycle.masks.get(name)
    if domains is None:
        domains = np.zeros(size, np.bool_)
        there = label.codes >= 0
        domains[label.codes[there & (cycle.state.columns.valid if mask is None else mask)]] = True
        cycle.masks[name] = domains
    if mask is None:
        return pods.sums(constraint.topology_key), domains
    mask = mask & (label.codes >= 0)
    sums = np.zeros(size, np.int64)
    found = np.bincount(label.codes[mask], weights=pods.nodes()[mask])
    sums[: len(found)] = found
    return sums, domains


def matches_itself(cycle: Cycle, constraint: Constraint) -> bool:
    selector = canonical(constraint.selector)
    return cycle.state.terms.selectors.matches(selector, cycle.template.labels)
