"""Writes and authorizers for tests of admission."""

from collections.abc import Iterable
from typing import Any

from sagong.api.call import Options
from sagong.api.resources import ResourceTable
from sagong.api.types import Encoded, Obj, User
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.authz.interface import NO_OPINION, Decision, Effect
from sagong.server.authz.interface import Attributes as Asked

ALICE = User("alice", groups=("system:authenticated",))
RESOURCES = ResourceTable()


class Held:
    """What a server holds, for plugins to look things up."""

    def __init__(self, **objects: Iterable[Obj]) -> None:
        self._objects = {name: list(held) for name, held in objects.items()}

    def get(self, resource: str, namespace: str, name: str) -> Encoded | None:
        for obj in self._objects.get(resource, ()):
            metadata = obj["metadata"]
            if metadata["name"] == name and metadata.get("namespace", "") == namespace:
                return Encoded(obj)
        return None

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Encoded]:
        return [Encoded(obj) for obj in self._objects.get(resource, ())]

    def version(self, resource: str) -> int:
        return 0


class Allowing:
    """Allows alice the verbs that it is made with."""

    def __init__(self, *verbs: str) -> None:
        self._verbs = verbs
        self.asked: list[Asked] = []

    async def authorize(self, attributes: Asked) -> Decision:
        self.asked.append(attributes)
        if attributes.user == ALICE and attributes.verb in self._verbs:
            return Decision(Effect.ALLOW, "so it is written")
        return NO_OPINION


def created(resource: str, obj: Obj, *, held: Held | None = None, **fields: Any) -> Attributes:
    """The creation of an object by alice."""
    found = RESOURCES.named(resource)
    assert found is not None
    metadata = obj["metadata"]
    return Attributes(
        operation=fields.get("operation", Operation.CREATE),
        resource=found,
        subresource="",
        namespace=metadata.get("namespace", ""),
        name=metadata.get("name", ""),
        obj=obj,
        old=fields.get("old"),
        options=Options(),
        user=ALICE,
        lister=held or Held(),
    )
