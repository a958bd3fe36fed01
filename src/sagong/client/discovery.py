"""Which resources a server serves, from its aggregated discovery (apidiscovery.k8s.io/v2)."""

from collections.abc import Iterator
from typing import Any

from sagong.api.resources import ResourceTable
from sagong.api.types import Obj, Resource, Subresource
from sagong.client.https import Https
from sagong.client.requests import decode

_ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


async def discover(transport: Https) -> list[Resource]:
    """Every resource in every version, each group's preferred version last.

    A server that does not aggregate its discovery (before 1.30) gives none of its groups.
    """
    found: list[Resource] = []
    for path in ("/api", "/apis"):
        async with await transport.request("GET", path, headers={"Accept": _ACCEPT}) as response:
            found += resources_of(decode(await response.read()))
    return found


async def add_discovered(table: ResourceTable, transport: Https) -> None:
    """Let a table also know what only this server serves; known resources stay as they are."""
    for resource in await discover(transport):
        if table.find(resource.group, resource.version, resource.plural) is None:
            table.add(resource)


def resources_of(listing: Obj) -> Iterator[Resource]:
    """The resources of an ``APIGroupDiscoveryList``."""
    for group in listing.get("items") or ():
        name = group["metadata"].get("name", "")
        # Discovery names the preferred version first; a ResourceTable prefers the last.
        for version in reversed(group.get("versions") or ()):
            for found in version.get("resources") or ():
                yield _resource(name, version["version"], found)


def _resource(group: str, version: str, found: dict[str, Any]) -> Resource:
    return Resource(
        group=group,
        version=version,
        plural=found["resource"],
        kind=found["responseKind"]["kind"],
        namespaced=found["scope"] == "Namespaced",
        singular=found.get("singularResource", ""),
        short_names=tuple(found.get("shortNames") or ()),
        categories=tuple(found.get("categories") or ()),
        verbs=tuple(sorted(found.get("verbs") or ())),
        subresources=tuple(
            _subresource(group, version, sub) for sub in found.get("subresources") or ()
        ),
    )


def _subresource(group: str, version: str, found: dict[str, Any]) -> Subresource:
    kind = found.get("responseKind") or {}
    other = kind.get("group", group) != group or kind.get("version", version) not in ("", version)
    return Subresource(
        found["subresource"],
        kind.get("kind", ""),
        tuple(sorted(found.get("verbs") or ())),
        kind.get("group", "") if other else None,
        kind.get("version", "") if other else None,
    )
