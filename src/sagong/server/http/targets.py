"""What a path means: a resource request, or one of the other things that are served."""

from dataclasses import dataclass
from urllib.parse import unquote

from sagong.api.call import Verb
from sagong.api.resources import ResourceTable
from sagong.api.types import Resource

_NAMESPACE_SUBRESOURCES = ("status", "finalize")
_VERBS = {
    "POST": Verb.CREATE,
    "PUT": Verb.UPDATE,
    "PATCH": Verb.PATCH,
    "DELETE": Verb.DELETE,
}


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a resource path. ``resource`` is None where none is served there."""

    resource: Resource | None
    namespace: str | None = None
    name: str = ""
    subresource: str = ""
    rest: str = ""  # what follows a subresource: the path of a proxied request
    watch: bool = False  # the deprecated /watch/ prefix


def target_of(path: str, table: ResourceTable) -> Target | None:
    """The resource that a path names; None if it is no resource path (discovery, health, ...)."""
    parts = path.split("/")
    if len(parts) >= 4 and parts[1] == "api":
        group, version, rest = "", parts[2], parts[3:]
    elif len(parts) >= 5 and parts[1] == "apis":
        group, version, rest = parts[2], parts[3], parts[4:]
    else:
        return None
    if rest[-1] == "":
        rest = rest[:-1] if len(rest) < 4 else rest
        if not rest:
            return None
    if "%" in path:
        rest = [unquote(part) for part in rest]
    watch = rest[0] == "watch" and len(rest) > 1
    if watch:
        rest = rest[1:]
    namespace: str | None = None
    if (
        rest[0] == "namespaces"
        and len(rest) > 2
        and not (len(rest) == 3 and not group and rest[2] in _NAMESPACE_SUBRESOURCES)
    ):
        namespace, rest = rest[1], rest[2:]
    resource = table.find(group, version, rest[0])
    if resource is None:
        return Target(None)
    # Without a namespace only the list over all of them can be meant.
    if resource.namespaced != (namespace is not None) and (namespace is not None or len(rest) > 1):
        return Target(None)
    return Target(
        resource,
        namespace,
        rest[1] if len(rest) > 1 else "",
        rest[2] if len(rest) > 2 else "",
        "/".join(rest[3:]),
        watch,
    )


def _has_no_route(verb: Verb | None, target: Target) -> bool:
    """What no kind of resource has: creation at a name, changes of all namespaces at once."""
    if verb is Verb.CREATE and target.name and not target.subresource:
        return True
    resource = target.resource
    across = resource is not None and resource.namespaced and target.namespace is None
    return across and not target.name and verb in (Verb.CREATE, Verb.DELETE)


def verb_of(method: str, target: Target, *, watch: bool) -> Verb | None:
    """The verb of a resource request; None for a method that no resource has."""
    if method in ("GET", "HEAD"):
        if target.name:
            return Verb.WATCH if target.watch else Verb.GET
        return Verb.WATCH if watch or target.watch else Verb.LIST
    verb = _VERBS.get(method)
    if _has_no_route(verb, target):
        return None
    if verb is Verb.DELETE and not target.name:
        return Verb.DELETE_COLLECTION
    return verb
