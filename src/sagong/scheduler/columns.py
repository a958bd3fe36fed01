"""All nodes as NumPy columns, kept in step with the cache: what filters and scores compute on.

A node has a slot, the same in every column; slots of removed nodes are reused. A filter or score is
one vector operation over the slots. Nothing here scans pods: what depends on pods (requested
resources, used host ports, pods that match a selector) is a column that is added to and subtracted
from as pods come and go.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NewType

import numpy as np
import numpy.typing as npt

from sagong.api.meta import labels_of, name_of
from sagong.api.types import Obj
from sagong.scheduler.resources import amounts

Slot = NewType("Slot", int)
Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]

# Which slots a computation is for: all of them, or some. Columns are indexed with it as they are.
At = slice | npt.NDArray[np.intp]
ALL: At = slice(None)

ABSENT = -1  # the code of a label that a node does not have
_FIRST_SLOTS = 16
JOURNAL_MAX = 8192  # touched slots remembered; past it whoever lags behind computes anew


class Journal:
    """Which slots' pods changed, in order, so that what was computed can be brought up to date."""

    def __init__(self) -> None:
        self._first = 0
        self._touched: list[Slot] = []

    def note(self, slot: Slot) -> None:
        self._touched.append(slot)
        if len(self._touched) > JOURNAL_MAX:
            half = JOURNAL_MAX // 2
            del self._touched[:half]
            self._first += half

    @property
    def position(self) -> int:
        return self._first + len(self._touched)

    def since(self, position: int) -> list[Slot] | None:
        """Slots touched since a position, each once; None if that is too long ago to know."""
        if position < self._first:
            return None
        touched = self._touched[position - self._first :]
        return touched if len(touched) < 2 else list(set(touched))


@dataclass(frozen=True, slots=True)
class Taint:
    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What was last seen of one node."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    unschedulable: bool
    allocatable: Mapping[str, int]
    images: Mapping[str, int]  # every name of an image -> its size in bytes


def facts_of(node: Obj) -> NodeFacts:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    images = {
        name: int(image.get("sizeBytes", 0))
        for image in status.get("images") or ()
        for name in image.get("names") or ()
    }
    return NodeFacts(
        name=name_of(node),
        labels=labels_of(node),
        taints=tuple(
            Taint(t["key"], t.get("value") or "", t["effect"]) for t in spec.get("taints") or ()
        ),
        unschedulable=bool(spec.get("unschedulable")),
        allocatable=amounts(status.get("allocatable") or {}),
        images=images,
    )


class LabelColumn:
    """One label key over all nodes: small integers for values, so that domains can be counted."""

    def __init__(self, size: int) -> None:
        self.codes: Codes = np.full(size, ABSENT, np.int32)
        self._code_of: dict[str, int] = {}
        self.values: list[str] = []
        self.version = 0  # grows whenever some node's value changes

    def set(self, slot: Slot, value: str | None) -> None:
        code = ABSENT if value is None else self.code(value)
        if self.codes[slot] != code:
            self.codes[slot] = code
            self.version += 1

    def code(self, value: str) -> int:
        """The code of a value; a value not seen before gets the next one."""
        code = self._code_of.get(value)
        if code is None:
            code = self._code_of[value] = len(self.values)
            self.values.append(value)
        return code

    def grow(self, size: int) -> None:
        grown = np.full(size, ABSENT, np.int32)
        grown[: len(self.codes)] = self.codes
        self.codes = grown
        self.version += 1


class NodeColumns:
    """The columns. Resources, labels and selectors get theirs when first asked for."""

    def __init__(self) -> None:
        self.size = _FIRST_SLOTS
        self.valid: Mask = np.zeros(self.size, np.bool_)
        self.unschedulable: Mask = np.zeros(self.size, np.bool_)
        # Nodes with equal taints share a class: tolerations are compared once a class.
        self.taint_class: Codes = np.zeros(self.size, np.int32)
        self.taint_classes: list[tuple[Taint, ...]] = [()]
        # Replaced when it changes, so that who holds it sees the nodes as they were.
        self.names: tuple[str, ...] = ("",) * self.size
        self.version = 0  # grows with every change of a node, for caches of derived columns
        self.journal = Journal()
        self._allocatable: dict[str, Ints] = {}
        self._requested: dict[str, Ints] = {}
        self._labels: dict[str, LabelColumn] = {}
        self._limits: dict[str, Ints] = {}
        self._limits_of: dict[str, Mapping[str, int]] = {}
        # Image name -> the nodes that hold it, with its size in bytes there.
        self.images: dict[str, dict[Slot, int]] = {}
        self._slot_of: dict[str, Slot] = {}
        self._facts: dict[Slot, NodeFacts] = {}
        self._free: list[Slot] = [Slot(i) for i in reversed(range(self.size))]

    def __len__(self) -> int:
        return len(self._slot_of)

    def slot(self, name: str) -> Slot | None:
        return self._slot_of.get(name)

    def facts(self, slot: Slot) -> NodeFacts:
        return self._facts[slot]

    def nodes(self) -> Iterable[tuple[Slot, NodeFacts]]:
        return self._facts.items()

    def set_node(self, facts: NodeFacts) -> Slot:
        """Add a node or take over its changes."""
        slot = self._slot_of.get(facts.name)
        if slot is None:
            slot = self._take_slot()
            self._slot_of[facts.name] = slot
        elif self._facts.get(slot) == facts:
            return slot
        self.version += 1
        self._set_images(slot, facts.images)
        self._facts[slot] = facts
        self.valid[slot] = True
        if self.names[slot] != facts.name:
            self._name(slot, facts.name)
        self.unschedulable[slot] = facts.unschedulable
        self.taint_class[slot] = self._class_of(facts.taints)
        for resource in facts.allocatable:
            self.allocatable(resource)
        for resource, column in self._allocatable.items():
            column[slot] = facts.allocatable.get(resource, 0)
        for key, labels in self._labels.items():
            labels.set(slot, facts.labels.get(key))
        self._apply_limits(slot, self._limits_of.get(facts.name, {}))
        return slot

    def remove_node(self, name: str) -> None:
        """Forget a node. What its pods requested stays in the columns until they are removed."""
        slot = self._slot_of.pop(name, None)
        if slot is None:
            return
        self.version += 1
        self._set_images(slot, {})
        del self._facts[slot]
        self.valid[slot] = False
        self._name(slot, "")
        for column in self._allocatable.values():
            column[slot] = 0
        for labels in self._labels.values():
            labels.set(slot, None)
        self._apply_limits(slot, {})
        self._free.append(slot)

    def allocatable(self, resource: str) -> Ints:
        """How much of a resource each node has, in its base unit (millicores, bytes, units)."""
        column = self._allocatable.get(resource)
        if column is None:
            column = self._allocatable[resource] = np.zeros(self.size, np.int64)
            for slot, facts in self._facts.items():
                column[slot] = facts.allocatable.get(resource, 0)
        return column

    def limit(self, driver: str) -> Ints:
        """How many volumes of a CSI driver each node may have attached; -1: any number."""
        column = self._limits.get(driver)
        if column is None:
            column = self._limits[driver] = np.full(self.size, -1, np.int64)
        return column

    def set_limits(self, name: str, limits: Mapping[str, int]) -> None:
        """What a node's CSINode says; also for nodes that are not there yet."""
        self._limits_of[name] = limits
        slot = self._slot_of.get(name)
        if slot is not None:
            self._apply_limits(slot, limits)
            self.version += 1

    def remove_limits(self, name: str) -> None:
        self.set_limits(name, {})
        del self._limits_of[name]

    def _apply_limits(self, slot: Slot, limits: Mapping[str, int]) -> None:
        for driver in limits:
            self.limit(driver)
        for driver, column in self._limits.items():
            column[slot] = limits.get(driver, -1)

    def requested(self, resource: str) -> Ints:
        """How much of a resource the pods on each node request, the assumed ones included."""
        column = self._requested.get(resource)
        if column is None:
            column = self._requested[resource] = np.zeros(self.size, np.int64)
        return column

    def request(self, slot: Slot, requests: Mapping[str, int], sign: int) -> None:
        """Add (+1) or take away (-1) a pod's requests. The caller notes it in the journal."""
        for resource, amount in requests.items():
            self.requested(resource)[slot] += sign * amount

    def label(self, key: str) -> LabelColumn:
        column = self._labels.get(key)
        if column is None:
            column = self._labels[key] = LabelColumn(self.size)
            for slot, facts in self._facts.items():
                column.set(slot, facts.labels.get(key))
        return column

    def _name(self, slot: Slot, name: str) -> None:
        self.names = (*self.names[:slot], name, *self.names[slot + 1 :])

    def _set_images(self, slot: Slot, images: Mapping[str, int]) -> None:
        before = self._facts[slot].images if slot in self._facts else {}
        for name in before.keys() - images.keys():
            holders = self.images[name]
            del holders[slot]
            if not holders:
                del self.images[name]
        for name, size in images.items():
            self.images.setdefault(name, {})[slot] = size

    def _class_of(self, taints: tuple[Taint, ...]) -> int:
        try:
            return self.taint_classes.index(taints)
        except ValueError:
            self.taint_classes.append(taints)
            return len(self.taint_classes) - 1

    def _take_slot(self) -> Slot:
        if not self._free:
            self._grow(self.size * 2)
        slot = self._free.pop()
        for column in self._requested.values():
            column[slot] = 0
        return slot

    def _grow(self, size: int) -> None:
        old = self.size
        for resource_columns in (self._allocatable, self._requested):
            for resource, column in resource_columns.items():
                resource_columns[resource] = np.concatenate(
                    (column, np.zeros(size - old, np.int64))
                )
        for driver, column in self._limits.items():
            self._limits[driver] = np.concatenate((column, np.full(size - old, -1, np.int64)))
        more = np.zeros(size - old, np.bool_)
        self.valid = np.concatenate((self.valid, more))
        self.unschedulable = np.concatenate((self.unschedulable, more))
        self.taint_class = np.concatenate((self.taint_class, np.zeros(size - old, np.int32)))
        for labels in self._labels.values():
            labels.grow(size)
        self.names += ("",) * (size - old)
        self._free = [Slot(i) for i in reversed(range(old, size))]
        self.size = size
