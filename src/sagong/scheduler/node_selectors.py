"""Node selectors and node affinity, for one node or for all nodes at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sagong.api.types import Obj
from sagong.scheduler.columns import ALL, At, Mask, NodeColumns
from sagong.scheduler.pod import Template

_NAME = "metadata.name"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One expression over a label, or over the field metadata.name."""

    key: str
    operator: str
    values: tuple[str, ...]

    def holds(self, value: str | None) -> bool:
        """Whether a label's value (None: absent) satisfies the requirement."""
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
        return value is not None and _compare(value, self.operator, self.values)


def _compare(value: str, operator: str, values: tuple[str, ...]) -> bool:
    try:
        left, right = int(value), int(values[0])
    except (ValueError, IndexError):
        return False
    return left > right if operator == "Gt" else left < right


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """Requirements that must all hold; a term without any matches no node."""

    labels: tuple[Requirement, ...]
    fields: tuple[Requirement, ...]

    @property
    def is_empty(self) -> bool:
        return not self.labels and not self.fields

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        return (
            not self.is_empty
            and all(r.holds(labels.get(r.key)) for r in self.labels)
            and all(r.holds(name) for r in self.fields)
        )

    def mask(self, columns: NodeColumns, at: At = ALL) -> Mask:
        found = columns.valid[at].copy()
        if self.is_empty:
            found[:] = False
        for requirement in self.labels:
            found &= _label_mask(columns, requirement.key, requirement.holds, at)
        for requirement in self.fields:
            found &= _name_mask(columns, requirement, at)
        return found


@dataclass(frozen=True, slots=True)
class NodeSelector:
    """Terms of which one must match."""

    terms: Sequence[NodeTerm]

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        return any(term.matches(name, labels) for term in self.terms)

    def mask(self, columns: NodeColumns, at: At = ALL) -> Mask:
        found = np.zeros(len(columns.valid[at]), np.bool_)
        for term in self.terms:
            found |= term.mask(columns, at)
        return found

    def names(self) -> frozenset[str] | None:
        """The only nodes that can match, if every term says so by name; None if some does not."""
        found: frozenset[str] = frozenset()
        for term in self.terms:
            named = [
                frozenset(r.values) for r in term.fields if r.key == _NAME and r.operator == "In"
            ]
            if not named:
                return None
            found |= frozenset.intersection(*named)
        return found if self.terms else None


def _requirements(expressions: Sequence[Obj] | None) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(e["key"], e["operator"], tuple(e.get("values") or ()))
        for e in expressions or ()
    )


def node_term(term: Obj) -> NodeTerm:
    return NodeTerm(
        _requirements(term.get("matchExpressions")), _requirements(term.get("matchFields"))
    )


def node_selector(selector: Obj) -> NodeSelector:
    """From a ``core/v1 NodeSelector``."""
    return NodeSelector([node_term(t) for t in selector.get("nodeSelectorTerms") or ()])


def _label_mask(
    columns: NodeColumns, key: str, holds: Callable[[str | None], bool], at: At
) -> Mask:
    """Each distinct value is asked once, however many nodes have it."""
    column = columns.label(key)
    codes = column.codes[at]
    if len(codes) < len(column.values):
        answers = [holds(column.values[code] if code >= 0 else None) for code in codes]
        return np.array(answers, np.bool_)
    # The last entry stands for nodes without the label: their code is -1.
    table = np.array([holds(v) for v in column.values] + [holds(None)], np.bool_)
    found: Mask = table[codes]
    return found


def _name_mask(columns: NodeColumns, requirement: Requirement, at: At) -> Mask:
    found = np.zeros(columns.size, np.bool_)
    if requirement.operator == "In":
        for name in requirement.values:
            slot = columns.slot(name)
            if slot is not None:
                found[slot] = True
        return found[at]
    for slot, facts in columns.nodes():
        found[slot] = requirement.holds(facts.name)
    return found[at]


def required_of(template: Template) -> NodeSelector | None:
    """A pod's required node affinity."""
    required = (template.affinity.get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    return None if required is None else node_selector(required)


def is_selective(template: Template) -> bool:
    return bool(template.node_selector or template.affinity.get("nodeAffinity"))


def required_mask(columns: NodeColumns, template: Template, at: At = ALL) -> Mask:
    """Nodes that a pod's nodeSelector and required node affinity admit."""
    found = columns.valid[at].copy()
    for key, value in template.node_selector.items():
        wanted = Requirement(key, "In", (value,))
        found &= _label_mask(columns, key, wanted.holds, at)
    required = required_of(template)
    if required is not None:
        found &= required.mask(columns, at)
    return found
