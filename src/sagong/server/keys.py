"""Where an object stands in the store: ``/registry/[<group>/]<plural>/[<namespace>/]<name>``.

What follows the resource's prefix (``<namespace>/<name>`` or ``<name>``) is the *path* of an
object, by which caches know it.
"""

from collections.abc import Container

from sagong.api.types import Resource

REGISTRY = "/registry/"


def prefix_of(resource: Resource) -> str:
    """The prefix of all keys of a storage resource."""
    if resource.group:
        return f"{REGISTRY}{resource.group}/{resource.plural}/"
    return f"{REGISTRY}{resource.plural}/"


def path_of(namespace: str | None, name: str) -> str:
    """The path of an object below its resource's prefix."""
    return f"{namespace}/{name}" if namespace else name


def scope_of(namespace: str | None) -> str:
    """The prefix of the paths of one namespace; "" for all."""
    return f"{namespace}/" if namespace else ""


def namespace_of_path(path: str) -> str:
    """The namespace of a path; "" for cluster-scoped objects."""
    namespace, slash, _ = path.partition("/")
    return namespace if slash else ""


def split_key(key: str, prefixes: Container[str]) -> tuple[str, str] | None:
    """The resource prefix (one of ``prefixes``) and the path of a key; None if none fits."""
    first = key.find("/", len(REGISTRY)) + 1
    if first <= 0:
        return None
    second = key.find("/", first) + 1
    if second > 0 and key[:second] in prefixes:
        return key[:second], key[second:]
    return (key[:first], key[first:]) if key[:first] in prefixes else None
