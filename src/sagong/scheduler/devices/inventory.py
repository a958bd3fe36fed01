"""Devices that drivers offer in ResourceSlices, by where they can be reached. Pure.

A pool is published in slices of one generation; one that is not complete offers nothing yet, as
nobody can say what of it is current. Semantics: upstream's ``dynamic-resource-allocation``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sagong.api.meta import name_of
from sagong.api.types import Obj
from sagong.scheduler.node_selectors import NodeSelector, node_selector


class DeviceId(NamedTuple):
    """A device in the whole cluster."""

    driver: str
    pool: str
    device: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a device can be used: on one node, on selected ones, or (neither) everywhere."""

    node: str = ""
    selector: NodeSelector | None = None
    raw_selector: Obj | None = None

    def reaches(self, name: str, labels: Mapping[str, str]) -> bool:
        if self.node:
            return self.node == name
        return self.selector is None or self.selector.matches(name, labels)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Device:
    id: DeviceId
    obj: Obj
    place: Place

    def attribute(self, name: str) -> object:
        """An attribute by its full name, or None; short names belong to the driver's domain."""
        attributes = self.obj.get("attributes") or {}
        found = attributes.get(name)
        domain, _, rest = name.partition("/")
        if found is None and domain == self.id.driver:
            found = attributes.get(rest)
        return None if found is None else next(iter(found.values()), None)

    @property
    def taints(self) -> Sequence[Obj]:
        return self.obj.get("taints") or ()


@dataclass(frozen=True, slots=True)
class Inventory:
    """All usable devices, in the order in which they are tried."""

    devices: Sequence[Device] = ()
    _by_node: dict[str, list[Device]] = field(default_factory=dict)
    _anywhere: list[Device] = field(default_factory=list)

    @classmethod
    def of(cls, slices: Iterable[Obj]) -> "Inventory":
        devices = [d for pool in _pools(slices).values() for d in _devices(pool)]
        found = cls(devices)
        for device in devices:
            if device.place.node:
                found._by_node.setdefault(device.place.node, []).append(device)
            else:
                found._anywhere.append(device)
        return found

    def at(self, name: str, labels: Mapping[str, str]) -> list[Device]:
        """The devices that pods on a node can use."""
        shared = [d for d in self._anywhere if d.place.reaches(name, labels)]
        return [*self._by_node.get(name, ()), *shared]


def _pools(slices: Iterable[Obj]) -> dict[tuple[str, str], list[Obj]]:
    """The complete pools, each with the slices of its newest generation."""
    pools: dict[tuple[str, str], list[Obj]] = {}
    for slice_ in sorted(slices, key=name_of):
        spec = slice_["spec"]
        pools.setdefault((spec["driver"], spec["pool"]["name"]), []).append(slice_)
    found = {}
    for key, members in pools.items():
        newest = max(m["spec"]["pool"].get("generation", 0) for m in members)
        current = [m for m in members if m["spec"]["pool"].get("generation", 0) == newest]
        if len(current) == current[0]["spec"]["pool"].get("resourceSliceCount", 1):
            found[key] = current
    return found


def _devices(slices: Sequence[Obj]) -> Iterable[Device]:
    for slice_ in slices:
        spec = slice_["spec"]
        where = _place(spec)
        for device in spec.get("devices") or ():
            identity = DeviceId(spec["driver"], spec["pool"]["name"], device["name"])
            own = _place(device) if spec.get("perDeviceNodeSelection") else where
            yield Device(identity, device, own)


def _place(holder: Obj) -> Place:
    raw = holder.get("nodeSelector")
    return Place(holder.get("nodeName") or "", node_selector(raw) if raw else None, raw)
