"""What extensions say of themselves: resources for discovery, schemas for OpenAPI. Pure.

Source of semantics: apiserver's ``pkg/endpoints/discovery`` (ConvertAPIResourceList) and
kube-aggregator's ``pkg/controllers/openapi``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagong.api.types import Obj

_DEFINITIONS = "#/definitions/"


@dataclass(frozen=True, slots=True)
class Content:
    """What is known of one extension."""

    # As aggregated discovery has them; None if it has never answered.
    resources: Sequence[Obj] | None = None
    is_current: bool = False
    # The v3 document's address at the extension, "" if it has none; and the v2 document.
    version3_url: str = ""
    version2: Obj | None = field(default=None, compare=False)
    version2_hash: str = ""


def aggregated_resources(listing: Obj, group: str, version: str) -> list[Obj]:
    """An ``APIResourceList`` in the form of aggregated discovery."""
    found: dict[str, Obj] = {}
    for entry in listing.get("resources") or ():
        name, slash, sub = str(entry.get("name") or "").partition("/")
        kind = {
            "group": entry.get("group") or group,
            "version": entry.get("version") or version,
            "kind": entry.get("kind") or "",
        }
        verbs = list(entry.get("verbs") or ())
        if slash:
            parent = found.setdefault(name, {"resource": name, "scope": _scope(entry), "verbs": []})
            parent.setdefault("subresources", []).append(
                {"subresource": sub, "responseKind": kind, "verbs": verbs}
            )
            continue
        resource: Obj = {
            **found.get(name, {}),
            "resource": name,
            "responseKind": kind,
            "scope": _scope(entry),
            "singularResource": entry.get("singularName") or "",
            "verbs": verbs,
        }
        for field_ in ("shortNames", "categories"):
            if entry.get(field_):
                resource[field_] = entry[field_]
        found[name] = resource
    return [found[name] for name in sorted(found)]


def _scope(entry: Obj) -> str:
    return "Namespaced" if entry.get("namespaced") else "Cluster"


def only(document: Obj, prefixes: Iterable[str]) -> Obj:
    """A v2 document's paths below the prefixes, with the definitions that these need."""
    starts = tuple(prefix.rstrip("/") + "/" for prefix in prefixes)
    paths = {
        path: item
        for path, item in (document.get("paths") or {}).items()
        if (path.rstrip("/") + "/").startswith(starts)
    }
    definitions = document.get("definitions") or {}
    needed: dict[str, Any] = {}
    waiting = list(_references(paths))
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in needed:
            needed[name] = definitions[name]
            waiting += _references(definitions[name])
    return {"paths": paths, "definitions": needed}


def merged(document: Obj, others: Iterable[Obj]) -> Obj:
    """A v2 document with the paths and definitions of others.

    A definition that differs from ours of the same name gets another name; ours is left alone.
    """
    paths, definitions = dict(document["paths"]), dict(document["definitions"])
    for other in others:
        renamed = _renamings(other["definitions"], definitions)
        for name, definition in other["definitions"].items():
            definitions.setdefault(renamed.get(name, name), _rename(definition, renamed))
        for path, item in other["paths"].items():
            paths.setdefault(path, _rename(item, renamed))
    return {**document, "paths": dict(sorted(paths.items())), "definitions": definitions}


def _renamings(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, definition in theirs.items():
        if name not in ours or ours[name] == definition:
            continue
        number = 2
        while ours.get(f"{name}_v{number}", definition) != definition:
            number += 1
        found[name] = f"{name}_v{number}"
    return found


def _rename(value: Any, renamed: Mapping[str, str]) -> Any:
    if not renamed:
        return value
    if isinstance(value, list):
        return [_rename(inner, renamed) for inner in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _rename(inner, renamed) for key, inner in value.items()}
    reference = value.get("$ref")
    if isinstance(reference, str) and reference.startswith(_DEFINITIONS):
        name = reference.removeprefix(_DEFINITIONS)
        changed["$ref"] = _DEFINITIONS + renamed.get(name, name)
    return changed


def _references(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref" and isinstance(inner, str):
                yield inner.removeprefix(_DEFINITIONS)
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
