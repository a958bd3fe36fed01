"""Pods counted a node at a time: how affinity and spread see other pods without scanning them.

A *term* is a set of namespaces and a label selector; its column holds how many pods on each node
match. Once asked for, a term is counted along with every pod that comes or goes. The pods a domain
holds are then one ``bincount`` of the column over the domain's label codes.

Existing pods' own affinity terms are kept the same way (which pods *have* the term), for the
symmetric rules: an existing pod's required anti-affinity keeps matching newcomers away.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import orjson

from sagong.api.selectors import Selector, selector_from_object
from sagong.api.types import Obj
from sagong.scheduler.columns import Codes, Ints, NodeColumns, Slot
from sagong.scheduler.pod import PodFacts

# Every namespace with its labels.
Namespaces = Callable[[], Mapping[str, Mapping[str, str]]]
TERMS_MAX = 4096  # columns kept; past it the least recently used is counted anew when needed


@dataclass(frozen=True, slots=True)
class Term:
    """Namespaces (None: every one) and a selector in canonical JSON (``null`` selects nothing)."""

    namespaces: frozenset[str] | None
    selector: bytes

    @classmethod
    def of(cls, namespaces: Iterable[str] | None, selector: Obj | None) -> "Term":
        frozen = None if namespaces is None else frozenset(namespaces)
        return cls(frozen, orjson.dumps(selector, option=orjson.OPT_SORT_KEYS))


@dataclass(frozen=True, slots=True)
class OwnedTerm:
    """An affinity term of an existing pod, as newcomers are held against it."""

    kind: str  # "required-anti", "required", "preferred" or "preferred-anti"
    namespaces: frozenset[str]
    namespace_selector: bytes | None
    selector: bytes
    topology_key: str
    weight: int


class SelectorCache:
    """Compiled selectors by their canonical JSON."""

    def __init__(self) -> None:
        self._compiled: dict[bytes, Selector] = {}

    def matches(self, selector: bytes, labels: Mapping[str, str]) -> bool:
        compiled = self._compiled.get(selector)
        if compiled is None:
            compiled = selector_from_object(orjson.loads(selector))
            self._compiled[selector] = compiled
        return compiled.matches(labels)


def domain_counts(codes: Codes, per_node: Ints) -> Ints:
    """For each node, the sum over all nodes of its domain; 0 where the node has no such label."""
    present = codes >= 0
    if not present.any():
        return np.zeros(len(codes), np.int64)
    # Sums stay far below 2**53, so bincount's floats are exact.
    sums = np.bincount(codes[present], weights=per_node[present])
    found = np.zeros(len(codes), np.int64)
    found[present] = sums[codes[present]].astype(np.int64)
    return found


class PodTerms:
    """Counts of pods by term and node."""

    def __init__(self, columns: NodeColumns, namespaces: Namespaces) -> None:
        self._columns = columns
        self._namespaces = namespaces
        self.selectors = SelectorCache()
        self._pods: dict[str, tuple[PodFacts, Slot]] = {}
        self._counts: dict[Term, Ints] = {}
        self._owned: dict[OwnedTerm, Ints] = {}
        self._owners: dict[str, Ints] = {}

    def add(self, pod: PodFacts, slot: Slot) -> None:
        self._pods[pod.uid] = (pod, slot)
        self._account(pod, slot, 1)

    def remove(self, pod: PodFacts) -> None:
        known = self._pods.pop(pod.uid, None)
        if known is not None:
            self._account(*known, -1)

    def pods(self) -> Iterable[tuple[PodFacts, Slot]]:
        return self._pods.values()

    def matching(self, term: Term) -> Ints:
        """How many pods on each node match a term."""
        column = self._counts.pop(term, None)
        if column is None:
            column = np.zeros(self._columns.size, np.int64)
            for pod, slot in self._pods.values():
                if self._matches(term, pod):
                    column[slot] += 1
            if len(self._counts) >= TERMS_MAX:
                del self._counts[next(iter(self._counts))]
        column = self._counts[term] = self._sized(column)
        return column

    def owned_by(self, owner_uid: str) -> Ints:
        """How many pods of one owner each node holds."""
        column = self._owners.get(owner_uid)
        if column is None:
            column = np.zeros(self._columns.size, np.int64)
        return self._sized(column)

    def owned_terms(self, kinds: frozenset[str], pod: PodFacts) -> list[tuple[OwnedTerm, Ints]]:
        """Terms of these kinds that existing pods have and that the given pod matches."""
        return [
            (term, self._sized(column))
            for term, column in self._owned.items()
            if term.kind in kinds and self.concerns(term, pod)
        ]

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

    def concerns(self, term: OwnedTerm, pod: PodFacts) -> bool:
        """Whether a pod is one of those that a term speaks of."""
        namespace = pod.key.namespace
        if namespace not in term.namespaces:
            if term.namespace_selector is None:
                return False
            labels = self._namespaces().get(namespace, {})
            if not self.selectors.matches(term.namespace_selector, labels):
                return False
        return self.selectors.matches(term.selector, pod.labels)

    def _matches(self, term: Term, pod: PodFacts) -> bool:
        if term.namespaces is not None and pod.key.namespace not in term.namespaces:
            return False
        return self.selectors.matches(term.selector, pod.labels)

    def _account(self, pod: PodFacts, slot: Slot, sign: int) -> None:
        for term, column in self._counts.items():
            if self._matches(term, pod):
                self._counts[term] = sized = self._sized(column)
                sized[slot] += sign
        if pod.owner_uid:
            owners = self._owners.get(pod.owner_uid)
            owners = self._sized(np.zeros(0, np.int64) if owners is None else owners)
            owners[slot] += sign
            self._owners[pod.owner_uid] = owners
            if sign < 0 and not owners.any():
                del self._owners[pod.owner_uid]
        for owned in owned_terms_of(pod):
            column = self._sized(self._owned.get(owned, np.zeros(0, np.int64)))
            column[slot] += sign
            self._owned[owned] = column
            if sign < 0 and not column.any():
                del self._owned[owned]

    def _sized(self, column: Ints) -> Ints:
        missing = self._columns.size - len(column)
        return np.concatenate((column, np.zeros(missing, np.int64))) if missing else column


def owned_term(kind: str, term: Obj, pod: PodFacts, weight: int = 1) -> OwnedTerm:
    namespaces = term.get("namespaces") or ()
    selector = term.get("namespaceSelector")
    if not namespaces and selector is None:
        namespaces = (pod.key.namespace,)
    return OwnedTerm(
        kind=kind,
        namespaces=frozenset(namespaces),
        namespace_selector=(
            None if selector is None else orjson.dumps(selector, option=orjson.OPT_SORT_KEYS)
        ),
        # matchLabelKeys are already merged in: the API server does it at creation (KEP-3633).
        selector=orjson.dumps(term.get("labelSelector"), option=orjson.OPT_SORT_KEYS),
        topology_key=term["topologyKey"],
        weight=weight,
    )


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def required_terms(pod: PodFacts, side: str) -> list[OwnedTerm]:
    """Required terms of ``podAffinity`` or ``podAntiAffinity``."""
    kind = "required-anti" if side == "podAntiAffinity" else "required"
    terms = (pod.affinity.get(side) or {}).get(_REQUIRED) or ()
    return [owned_term(kind, term, pod) for term in terms]


def preferred_terms(pod: PodFacts, side: str) -> list[OwnedTerm]:
    """Preferred terms of ``podAffinity`` or ``podAntiAffinity`` with their weights."""
    kind = "preferred-anti" if side == "podAntiAffinity" else "preferred"
    terms = (pod.affinity.get(side) or {}).get(_PREFERRED) or ()
    return [owned_term(kind, t["podAffinityTerm"], pod, t["weight"]) for t in terms]


def owned_terms_of(pod: PodFacts) -> list[OwnedTerm]:
    if not pod.affinity:
        return []
    found: list[OwnedTerm] = []
    for side in ("podAffinity", "podAntiAffinity"):
        found += required_terms(pod, side) + preferred_terms(pod, side)
    return found
