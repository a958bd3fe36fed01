"""Pods counted by topology domain: how affinity and spread see other pods without scanning them.

A *term* is a conjunction of conditions on namespaces and labels; how many pods on each node match
it is a column, and the sums of that column by the domains of a topology key are kept beside it.
Once asked for, both are counted along with every pod that comes or goes.

Existing pods' own affinity terms are kept the same way (which pods *have* the term), for the
symmetric rules: an existing pod's required anti-affinity keeps matching newcomers away.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import orjson

from sagong.api.selectors import Selector, selector_from_object
from sagong.api.types import Obj
from sagong.scheduler.columns import Ints, LabelColumn, NodeColumns, Slot
from sagong.scheduler.pod import PodFacts, Template

# Every namespace with its labels.
Namespaces = Callable[[], Mapping[str, Mapping[str, str]]]
TERMS_MAX = 4096  # columns kept; past it all are dropped and counted anew when needed


@dataclass(frozen=True, slots=True)
class Condition:
    """Namespaces (None: every one) and a selector in canonical JSON (``null`` selects nothing)."""

    namespaces: frozenset[str] | None
    selector: bytes


@dataclass(frozen=True, slots=True)
class Term:
    """Pods that meet all conditions; with ``staying`` only those that are not being deleted."""

    conditions: tuple[Condition, ...]
    staying: bool = False

    @classmethod
    def of(
        cls, namespaces: Iterable[str] | None, selector: Obj | None, *, staying: bool = False
    ) -> "Term":
        frozen = None if namespaces is None else frozenset(namespaces)
        return cls((Condition(frozen, canonical(selector)),), staying)


@dataclass(frozen=True, slots=True)
class OwnedTerm:
    """An affinity term of an existing pod, as newcomers are held against it."""

    kind: str  # "required-anti", "required", "preferred" or "preferred-anti"
    namespaces: frozenset[str]
    namespace_selector: bytes | None
    selector: bytes
    topology_key: str
    weight: int


def canonical(selector: Obj | None) -> bytes:
    return orjson.dumps(selector, option=orjson.OPT_SORT_KEYS)


class SelectorCache:
    """Compiled selectors by their canonical JSON."""

    def __init__(self) -> None:
        self._compiled: dict[bytes, Selector] = {}

    def compiled(self, selector: bytes) -> Selector:
        found = self._compiled.get(selector)
        if found is None:
            found = self._compiled[selector] = selector_from_object(orjson.loads(selector))
        return found

    def matches(self, selector: bytes, labels: Mapping[str, str]) -> bool:
        return self.compiled(selector).matches(labels)


class DomainCounts:
    """How many of some pods each node holds, and each domain of the topology keys asked for."""

    def __init__(self, columns: NodeColumns) -> None:
        self._columns = columns
        self.per_node: Ints = np.zeros(columns.size, np.int64)
        self._sums: dict[str, tuple[LabelColumn, int, Ints]] = {}
        self.total = 0

    def add(self, slot: Slot, amount: int) -> None:
        self.total += amount
        if slot >= len(self.per_node):
            self._grow()
        self.per_node[slot] += amount
        for label, version, sums in self._sums.values():
            if version == label.version and label.codes[slot] >= 0:
                sums[label.codes[slot]] += amount

    def nodes(self) -> Ints:
        """Per node, as long as the columns are."""
        if len(self.per_node) != self._columns.size:
            self._grow()
        return self.per_node

    def sums(self, topology_key: str) -> Ints:
        """Per code of the key's values; one entry more, always 0, for nodes without the key.

        The entry's index is -1, as the code of such nodes is.
        """
        label = self._columns.label(topology_key)
        found = self._sums.get(topology_key)
        if found is None or found[1] != label.version:
            present = label.codes >= 0
            sums = np.zeros(len(label.values) + 1, np.int64)
            # Sums stay far below 2**53, so bincount's floats are exact.
            counted = np.bincount(label.codes[present], weights=self.nodes()[present])
            sums[: len(counted)] = counted
            found = self._sums[topology_key] = (label, label.version, sums)
        return found[2]

    def _grow(self) -> None:
        missing = self._columns.size - len(self.per_node)
        self.per_node = np.concatenate((self.per_node, np.zeros(missing, np.int64)))


@dataclass(slots=True)
class _Known:
    """What is known of one template: the terms it matches, the terms that speak of it."""

    counts: list[tuple[Term, DomainCounts]] = field(default_factory=list)
    tested: int = 0
    owned: dict[str, list[OwnedTerm]] | None = None  # its own affinity terms by kind
    concerning: dict[OwnedTerm, DomainCounts] = field(default_factory=dict)
    concerning_version: tuple[int, int] = (-1, -1)


class PodTerms:
    """Counts of pods by term and domain."""

    def __init__(self, columns: NodeColumns, namespaces: Namespaces) -> None:
        self._columns = columns
        self._namespaces = namespaces
        self.namespaces_version = 0
        self.selectors = SelectorCache()
        # How many pods of each template are where; those that are being deleted apart.
        self._placed: dict[tuple[Template, bool], dict[Slot, int]] = {}
        self._counts: dict[Term, DomainCounts] = {}
        self._order: list[tuple[Term, DomainCounts]] = []  # of _counts, as they came
        self._owned: dict[OwnedTerm, DomainCounts] = {}
        self._owned_version = 0
        self._known: dict[Template, _Known] = {}

    def add(self, pod: PodFacts, slot: Slot) -> None:
        self._count(pod.template, pod.terminating, slot, 1)

    def remove(self, pod: PodFacts, slot: Slot) -> None:
        self._count(pod.template, pod.terminating, slot, -1)

    def namespaces_changed(self) -> None:
        """Labels of namespaces changed: selectors of namespaces are looked up anew."""
        self.namespaces_version += 1

    def counts(self, term: Term) -> DomainCounts:
        """Where the pods are that match a term."""
        found = self._counts.get(term)
        if found is None:
            if len(self._counts) >= TERMS_MAX:
                self._drop_counts()
            found = DomainCounts(self._columns)
            for (template, terminating), slots in self._placed.items():
                if not (terminating and term.staying) and self._matches(term, template):
                    for slot, amount in slots.items():
                        found.add(slot, amount)
            self._counts[term] = found
            self._order.append((term, found))
        return found

    def concerning(self, kinds: frozenset[str], pod: PodFacts) -> list[tuple[OwnedTerm, Ints]]:
        """Terms of these kinds that existing pods have and that speak of the given pod.

        With each the sums of such pods by the domains of its topology key.
        """
        if not self._owned:
            return []
        known = self._known_of(pod.template)
        version = (self._owned_version, self.namespaces_version)
        if known.concerning_version != version:
            known.concerning = {
                term: counts
                for term, counts in self._owned.items()
                if self.concerns(term, pod.template)
            }
            known.concerning_version = version
        return [
            (term, counts.sums(term.topology_key))
            for term, counts in known.concerning.items()
            if term.kind in kinds and counts.total
        ]

    def own(self, kind: str, template: Template) -> list[OwnedTerm]:
        """A template's own affinity terms of one kind."""
        return self._owned_by(self._known_of(template), template).get(kind, [])

    def namespaces_of(self, term: OwnedTerm) -> frozenset[str] | None:
        """The namespaces that a term covers now; None for all of them."""
        if term.namespace_selector is None:
            return term.namespaces
        if term.namespace_selector == b"{}":
            return None
        selected = {
            name
            for name, labels in self._namespaces().items()
            if self.selectors.matches(term.namespace_selector, labels)
        }
        return term.namespaces | selected

    def concerns(self, term: OwnedTerm, template: Template) -> bool:
        """Whether pods of a template are among those that a term speaks of."""
        if template.namespace not in term.namespaces:
            if term.namespace_selector is None:
                return False
            labels = self._namespaces().get(template.namespace, {})
            if not self.selectors.matches(term.namespace_selector, labels):
                return False
        return self.selectors.matches(term.selector, template.labels)

    def condition(self, term: OwnedTerm) -> Condition:
        return Condition(self.namespaces_of(term), term.selector)

    def _matches(self, term: Term, template: Template) -> bool:
        return all(
            (c.namespaces is None or template.namespace in c.namespaces)
            and self.selectors.matches(c.selector, template.labels)
            for c in term.conditions
        )

    def _count(self, template: Template, terminating: bool, slot: Slot, sign: int) -> None:
        placed = self._placed.setdefault((template, terminating), {})
        placed[slot] = placed.get(slot, 0) + sign
        if not placed[slot]:
            del placed[slot]
            if not placed:
                del self._placed[(template, terminating)]
        known = self._known_of(template)
        for term, counts in known.counts:
            if not (terminating and term.staying):
                counts.add(slot, sign)
        for terms in self._owned_by(known, template).values():
            for owned in terms:
                self._count_owned(owned, slot, sign)
        if not placed and (template, not terminating) not in self._placed:
            self._known.pop(template, None)

    def _count_owned(self, owned: OwnedTerm, slot: Slot, sign: int) -> None:
        counts = self._owned.get(owned)
        if counts is None:
            counts = self._owned[owned] = DomainCounts(self._columns)
            self._owned_version += 1
        counts.add(slot, sign)
        if not counts.total:
            del self._owned[owned]
            self._owned_version += 1

    def _owned_by(self, known: _Known, template: Template) -> dict[str, list[OwnedTerm]]:
        if known.owned is None:
            known.owned = owned_terms_of(template)
        return known.owned

    def _known_of(self, template: Template) -> _Known:
        known = self._known.get(template)
        if known is None:
            if len(self._known) >= TERMS_MAX * 4:
                self._known.clear()
            known = self._known[template] = _Known()
        if known.tested < len(self._order):
            fresh = self._order[known.tested :]
            known.counts += [(t, c) for t, c in fresh if self._matches(t, template)]
            known.tested = len(self._order)
        return known

    def _drop_counts(self) -> None:
        self._counts.clear()
        self._order.clear()
        self._known.clear()


def owned_term(kind: str, term: Obj, template: Template, weight: int = 1) -> OwnedTerm:
    namespaces = term.get("namespaces") or ()
    selector = term.get("namespaceSelector")
    if not namespaces and selector is None:
        namespaces = (template.namespace,)
    return OwnedTerm(
        kind=kind,
        namespaces=frozenset(namespaces),
        namespace_selector=None if selector is None else canonical(selector),
        # matchLabelKeys are already merged in: the API server does it at creation (KEP-3633).
        selector=canonical(term.get("labelSelector")),
        topology_key=term["topologyKey"],
        weight=weight,
    )


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def owned_terms_of(template: Template) -> dict[str, list[OwnedTerm]]:
    """A template's affinity terms by kind: "required", "preferred", and each with "-anti"."""
    found: dict[str, list[OwnedTerm]] = {}
    for side, suffix in (("podAffinity", ""), ("podAntiAffinity", "-anti")):
        terms = template.affinity.get(side) or {}
        for term in terms.get(_REQUIRED) or ():
            kind = f"required{suffix}"
            found.setdefault(kind, []).append(owned_term(kind, term, template))
        for entry in terms.get(_PREFERRED) or ():
            kind = f"preferred{suffix}"
            term = owned_term(kind, entry["podAffinityTerm"], template, entry["weight"])
            found.setdefault(kind, []).append(term)
    return found
