"""A Lister over objects given by hand."""

from collections import defaultdict
from collections.abc import Iterable

from sagong.api.meta import name_of, namespace_of
from sagong.api.types import Encoded, Obj


class Objects:
    """What the server's caches are in production: objects by resource, namespace and name."""

    def __init__(self) -> None:
        self._objects: defaultdict[str, dict[tuple[str, str], Encoded]] = defaultdict(dict)
        self._versions: defaultdict[str, int] = defaultdict(int)

    def put(self, resource: str, obj: Obj) -> Obj:
        self._objects[resource][namespace_of(obj), name_of(obj)] = Encoded(obj)
        self._versions[resource] += 1
        return obj

    def remove(self, resource: str, namespace: str, name: str) -> None:
        del self._objects[resource][namespace, name]
        self._versions[resource] += 1

    def get(self, resource: str, namespace: str, name: str) -> Encoded | None:
        return self._objects[resource].get((namespace, name))

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Encoded]:
        found = self._objects[resource].items()
        return [e for (ns, _), e in found if namespace is None or ns == namespace]

    def version(self, resource: str) -> int:
        return self._versions[resource]
