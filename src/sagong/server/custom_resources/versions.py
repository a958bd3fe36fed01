"""A definition's served versions: resource, schema, strategy, conversion, columns. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sagong.api.jsonpath import JsonPath, printed
from sagong.api.meta import condition, deep_copy
from sagong.api.schema import Schemas
from sagong.api.tables.column import Printer
from sagong.api.types import Obj, Resource, Subresource
from sagong.api.validation import ErrorList
from sagong.server.custom_resources.columns import printer
from sagong.server.custom_resources.defaulting import filler, has_defaults
from sagong.server.custom_resources.openapi import definitions_of
from sagong.server.custom_resources.rules import Rules
from sagong.server.custom_resources.scaling import validate_scale
from sagong.server.custom_resources.values import NOTHING, Check, validator
from sagong.server.discovery.documents import version_rank
from sagong.server.kinds.strategy import Strategy
from sagong.server.registry.served import Converter, Served

_VERBS: tuple[str, ...] = (
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
)
_STATUS_VERBS = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class CustomVersion:
    """One served version of a custom resource."""

    served: Served
    printer: Printer
    scale: Mapping[str, Any] | None
    definitions: Mapping[str, Obj]  # for OpenAPI, by name

    @property
    def resource(self) -> Resource:
        return self.served.resource


def is_established(definition: Obj) -> bool:
    return (condition(definition, "Established") or {}).get("status") == "True"


def versions_of(
    definition: Obj, schemas: Schemas, converter: Converter | None
) -> list[CustomVersion]:
    """What a definition serves, the preferred version last."""
    served = [v for v in definition["spec"]["versions"] if v.get("served")]
    served.sort(key=lambda version: version_rank(version["name"]), reverse=True)
    return [_version(definition, version, schemas, converter) for version in served]


def _version(
    definition: Obj, version: Obj, schemas: Schemas, converter: Converter | None
) -> CustomVersion:
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    resource = resource_of(definition, version)
    stored = next(v for v in definition["spec"]["versions"] if v.get("storage"))
    storage = resource_of(definition, {**version, "name": stored["name"]})
    scale = (version.get("subresources") or {}).get("scale")
    from_storage, fill = _from_storage(schema, resource)
    # A converter's objects are worked on in the version they are asked for in.
    worked_on = resource.api_version if converter is not None else storage.api_version
    several = len(definition["spec"]["versions"]) > 1
    served = Served(
        resource=resource,
        storage=storage,
        strategy=_strategy(version, schema, scale, fill),
        node=schemas.from_crd_schema(schema),
        to_storage=lambda obj: {**obj, "apiVersion": worked_on},
        from_storage=from_storage,
        is_custom=True,
        is_completed=(several and converter is None) or has_defaults(schema),
        converter=converter,
    )
    columns = printer(version.get("additionalPrinterColumns"))
    return CustomVersion(served, columns, scale, definitions_of(resource, schema))


def resource_of(definition: Obj, version: Obj) -> Resource:
    """A version as discovery shows it, by the names that were accepted."""
    names = (definition.get("status") or {}).get("acceptedNames") or definition["spec"]["names"]
    kind, verbs = names["kind"], _VERBS
    if definition["metadata"].get("deletionTimestamp"):
        verbs = tuple(verb for verb in verbs if verb != "create")
    given = version.get("subresources") or {}
    subresources = []
    if given.get("status") is not None:
        subresources.append(Subresource("status", kind, _STATUS_VERBS))
    if given.get("scale") is not None:
        subresources.append(Subresource("scale", "Scale", _STATUS_VERBS, "autoscaling", "v1"))
    return Resource(
        group=definition["spec"]["group"],
        version=version["name"],
        plural=names["plural"],
        kind=kind,
        namespaced=definition["spec"]["scope"] == "Namespaced",
        singular=names.get("singular") or kind.lower(),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        verbs=verbs,
        subresources=tuple(subresources),
        custom=True,
        deprecation=_deprecation(definition["spec"], version) if version.get("deprecated") else "",
    )


def _deprecation(spec: Obj, version: Obj) -> str:
    """What the definition says of its deprecated version, or where to go instead."""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    group, kind = spec["group"], spec["names"]["kind"]
    newer = [
        other["name"]
        for other in spec["versions"]
        if other.get("served")
        and not other.get("deprecated")
        and version_rank(other["name"]) < version_rank(version["name"])
    ]
    use = f"; use {group}/{min(newer, key=version_rank)} {kind}" if newer else ""
    return f"{group}/{version['name']} {kind} is deprecated{use}"


Change = Callable[[Obj], Obj]


def _from_storage(schema: Obj, resource: Resource) -> tuple[Change, Callable[[Obj], None]]:
    """How a stored object is shown in a version, and how its defaults are filled in."""
    properties = {
        name: sub for name, sub in (schema.get("properties") or {}).items() if name != "metadata"
    }
    fill = filler({**schema, "properties": properties})
    defaults = has_defaults(schema)

    def complete(obj: Obj) -> None:
        if fill is not None:
            fill(obj)

    def convert(obj: Obj) -> Obj:
        shown: Obj = {**obj, "apiVersion": resource.api_version}
        if defaults:
            shown = deep_copy(shown)  # what is shown may be shared with a cache
            complete(shown)
        return shown

    return convert, complete


def _strategy(
    version: Obj, schema: Obj, scale: Mapping[str, Any] | None, fill: Callable[[Obj], None]
) -> Strategy:
    check, rules = validator(schema), Rules(schema)
    fields = {
        field["jsonPath"].removeprefix("."): JsonPath(field["jsonPath"])
        for field in version.get("selectableFields") or ()
    }

    def validate(obj: Obj, found: ErrorList) -> None:
        check(obj, NOTHING, "", found)
        validate_scale(obj, scale, found)
        rules.check(obj, None, found)

    def selectable(obj: Obj) -> Mapping[str, str]:
        return {name: printed(path.find(obj)[:1]) for name, path in fields.items()}

    return Strategy(
        default=fill,
        validate=validate,
        validate_update=_update(check, scale, rules),
        validate_status_update=_update(check, scale, rules),
        validates_on_update=False,
        selectable_fields=selectable,
        selectable_field_names=tuple(fields),
        warnings=finalizer_warnings,
        has_generation=True,
        has_status=(version.get("subresources") or {}).get("status") is not None,
        unconditional_update=False,
    )


def _update(
    check: Check, scale: Mapping[str, Any] | None, rules: Rules
) -> Callable[[Obj, Obj, ErrorList], None]:
    def validate(new: Obj, old: Obj, found: ErrorList) -> None:
        check(new, old, "", found)
        validate_scale(new, scale, found)
        rules.check(new, old, found)

    return validate


def finalizer_warnings(new: Obj, old: Obj | None) -> list[str]:
    """New finalizers should say whose they are."""
    known = ((old or {}).get("metadata") or {}).get("finalizers") or ()
    standard = ("orphan", "foregroundDeletion")
    return [
        f'metadata.finalizers: "{finalizer}": prefer a domain-qualified finalizer name including a '
        "path (/) to avoid accidental conflicts with other finalizer writers"
        for finalizer in new["metadata"].get("finalizers") or ()
        if finalizer not in known and "/" not in finalizer and finalizer not in standard
    ]
