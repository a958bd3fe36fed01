"""The OpenAPI documents: v3 by group and version, v2 as a whole; made when first asked for."""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from sagong.api.resources import ResourceTable
from sagong.api.types import Obj, Resource
from sagong.server.aggregation.aggregator import Aggregator
from sagong.server.aggregation.contents import Content, merged
from sagong.server.custom_resources.openapi import definition_in_version2, described
from sagong.server.openapi.operations import paths_of
from sagong.server.openapi.protobuf import encode
from sagong.server.openapi.version2 import to_version2

_REF3 = "#/components/schemas/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SECURITY = {
    "BearerToken": {
        "description": "Bearer Token authentication",
        "type": "apiKey",
        "name": "authorization",
        "in": "header",
    }
}

FindDefinition = Callable[[str, str, str], str | None]


class OpenApi:
    """Documents as bytes with their hashes, cached until ``forget``."""

    def __init__(
        self,
        table: ResourceTable,
        definitions: Callable[[], dict[str, Obj]],
        find: FindDefinition,
        *,
        version: str,
        custom: Callable[[], Mapping[str, Obj]] = dict,
        aggregator: Aggregator | None = None,
    ) -> None:
        """``definitions`` are the built-in ones, ``custom`` those of custom resources now."""
        self._table = table
        self._load = definitions
        self._find = find
        self._version = version
        self._custom = custom
        self._aggregator = aggregator
        self._definitions: dict[str, Obj] | None = None
        self._documents: dict[str, bytes] = {}
        self._documents_of = self._state()
        # For protobuf: paths of built-in resources, and what has been encoded for good.
        self._lasting_paths: set[str] = set()
        self._encoded: dict[str, bytes] = {}

    def _state(self) -> object:
        return self._table.version, self._aggregator.state() if self._aggregator else None

    def _forget_outdated(self) -> None:
        """If the table has changed, make anew what custom resources are in."""
        state = self._state()
        if self._documents_of == state:
            return
        self._documents_of = state
        built_in = {name for name, found in self._names().items() if not _any_custom(found)}
        for name in self._documents.keys() - built_in:
            del self._documents[name]

    def index(self) -> Obj:
        """``/openapi/v3``: every document with its address, which holds its hash."""
        self._forget_outdated()
        paths = {
            name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={hash_of(self.document(name))}"}
            for name in sorted(self._names())
        }
        for (group, version), content in self._extensions().items():
            name = f"apis/{group}/{version}"
            paths.pop(name, None)
            if content.version3_url:
                paths[name] = {"serverRelativeURL": content.version3_url}
        return {"paths": dict(sorted(paths.items()))}

    def _extensions(self) -> Mapping[tuple[str, str], Content]:
        return self._aggregator.contents() if self._aggregator else {}

    def document(self, name: str) -> bytes:
        """The v3 document of ``api/v1`` or ``apis/<group>/<version>``. Raises KeyError."""
        self._forget_outdated()
        data = self._documents.get(name)
        if data is None:
            resources = self._names()[name]
            data = self._documents[name] = orjson.dumps(self._version3(resources))
        return data

    def version2(self) -> bytes:
        """The v2 document of everything."""
        self._forget_outdated()
        data = self._documents.get("v2")
        if data is None:
            paths: dict[str, Obj] = {}
            for resource in self._table:
                found = paths_of(resource, self._find)
                paths.update(found)
                if not resource.custom:
                    self._lasting_paths.update(found)
            custom = {name: definition_in_version2(d) for name, d in self._described().items()}
            document = to_version2(paths, {**self._built_in(), **custom}, self._info())
            if self._aggregator is not None:
                document = merged(document, self._aggregator.version2_documents())
            data = self._documents["v2"] = orjson.dumps(document)
        return data

    async def version2_protobuf(self) -> bytes:
        """The same as protobuf, encoded aside: the first time it takes most of a second."""
        document, state = self.version2(), self._documents_of
        data = self._documents.get("v2 protobuf")
        if data is None:
            lasting = {*self._built_in(), *self._lasting_paths}
            data = await asyncio.to_thread(
                lambda: encode(orjson.loads(document), self._encoded, lasting)
            )
            if self._documents_of == state:
                self._documents["v2 protobuf"] = data
        return data

    def _names(self) -> dict[str, list[Resource]]:
        found: dict[str, list[Resource]] = {}
        for resource in self._table:
            name = f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"
            found.setdefault(name, []).append(resource)
        return found

    def _described(self) -> dict[str, Obj]:
        return described(self._custom(), self._built_in())

    def _built_in(self) -> dict[str, Obj]:
        if self._definitions is None:
            self._definitions = self._load()
        return self._definitions

    def _info(self) -> Obj:
        return {"title": "Kubernetes", "version": self._version}

    def _version3(self, resources: Iterable[Resource]) -> Obj:
        paths: dict[str, Obj] = {}
        for resource in resources:
            paths.update(paths_of(resource, self._find))
        schemas = _closure(paths, {**self._built_in(), **self._described()})
        return {
            "openapi": "3.0.0",
            "info": self._info(),
            "paths": paths,
            "components": {"schemas": schemas, "securitySchemes": _SECURITY},
        }


def _any_custom(resources: Iterable[Resource]) -> bool:
    return any(resource.custom for resource in resources)


def hash_of(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest().upper()


def _closure(paths: Mapping[str, Obj], definitions: Mapping[str, Obj]) -> dict[str, Obj]:
    """The definitions that the paths need, and those that these need, in v3 form."""
    found: dict[str, Obj] = {}
    waiting = list(_names_in(paths))
    while waiting:
        name = waiting.pop()
        if name in found or name not in definitions:
            continue
        found[name] = _version3_schema(definitions[name])
        waiting += _names_in(found[name])
    return dict(sorted(found.items()))


def _names_in(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref" and isinstance(inner, str):
                yield inner.removeprefix(_REF3)
            else:
                yield from _names_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names_in(inner)


def _version3_schema(value: Any, *, names: bool = False) -> Any:
    """A schema with v3 references; ``names``: the keys are names of fields, not keywords."""
    if isinstance(value, list):
        return [_version3_schema(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if not names and isinstance(value.get("$ref"), str):
        reference = {"$ref": _REF3 + value["$ref"].rpartition("/")[2]}
        rest = {k: v for k, v in value.items() if k != "$ref"}
        return {"allOf": [reference], **rest} if rest else reference
    return {
        key: _version3_schema(inner, names=key == "properties" and not names)
        for key, inner in value.items()
    }
