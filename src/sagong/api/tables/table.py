"""Turning objects into a ``meta.k8s.io/v1 Table``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sagong.api.tables import cluster, core, pods, workloads
from sagong.api.tables.cells import age, name
from sagong.api.tables.column import AGE, NAME, Printer
from sagong.api.types import Obj, Resource


def _default_cells(obj: Obj, now: float) -> list[Any]:
    return [name(obj), age(obj, now)]


# For kinds that say nothing of their own, custom resources among them.
DEFAULT = Printer([NAME, AGE], _default_cells)

PRINTERS: Mapping[str, Printer] = {
    **core.PRINTERS,
    **pods.PRINTERS,
    **workloads.PRINTERS,
    **cluster.PRINTERS,
}


def printer_of(resource: Resource) -> Printer:
    return PRINTERS.get(resource.name, DEFAULT)


def rows_of(
    printer: Printer, objs: Iterable[Obj], *, now: float, include: str = "Metadata"
) -> list[Obj]:
    """Table rows. ``include`` is the request's includeObject: None, Metadata or Object."""
    if printer.order is not None:
        objs = sorted(objs, key=printer.order)
    return [
        {"cells": printer.cells(obj, now)}
        | _row_conditions(printer, obj)
        | _row_object(obj, include)
        for obj in objs
    ]


def _row_conditions(printer: Printer, obj: Obj) -> Obj:
    found = printer.conditions(obj) if printer.conditions else None
    return {"conditions": found} if found else {}


def _row_object(obj: Obj, include: str) -> Obj:
    if include == "None":
        return {"object": None}
    if include == "Object":
        return {"object": obj}
    return {"object": partial_metadata(obj)}


def partial_metadata(obj: Obj) -> Obj:
    """A ``PartialObjectMetadata`` that shares the object's metadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj.get("metadata") or {},
    }


def table_of(
    resource: Resource,
    objs: Sequence[Obj],
    *,
    now: float,
    metadata: Obj | None = None,
    include: str = "Metadata",
    printer: Printer | None = None,
) -> Obj:
    """A whole Table; ``metadata`` is the list's own (resourceVersion, continue, ...).

    ``now`` is in seconds since the epoch. A custom resource brings a printer made of its
    definition's additional printer columns.
    """
    printer = printer or printer_of(resource)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata or {},
        "columnDefinitions": [column.definition() for column in printer.columns],
        "rows": rows_of(printer, objs, now=now, include=include),
    }
