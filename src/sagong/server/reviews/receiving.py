"""From the body of a review to an object of its kind, and from the answered object to an Answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from sagong.api.call import Call, Single
from sagong.api.errors import Invalid
from sagong.api.schema import Schemas
from sagong.api.types import Encoded, Obj, Resource
from sagong.api.validation import ErrorList
from sagong.server.kinds.strategy import DEFAULT
from sagong.server.registry.ownership import record
from sagong.server.registry.receiving import check_options, receive
from sagong.server.registry.served import Served


@dataclass(frozen=True, slots=True)
class Received:
    """A review as the client sent it, decoded, with its field managers noted."""

    obj: Obj
    warnings: Sequence[str]

    def answer(self) -> Single:
        """The object, with what the handler has put into it."""
        return Single(Encoded(self.obj), 201, tuple(self.warnings))


class Receiver:
    """Decodes bodies of kinds that are not stored."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    def receive(self, call: Call, now: float, *, resource: Resource | None = None) -> Received:
        """``resource`` is what the body is of, if not of the call's. Raises BadRequest, Invalid."""
        check_options(call)
        kind = resource or call.resource
        node = self._schemas.of(kind.group, kind.version, kind.kind)
        served = Served(kind, kind, DEFAULT, node)
        warnings: list[str] = []
        obj = receive(call, served, warnings)
        record(served, obj, None, call, now)
        obj.setdefault("spec", {})
        return Received(obj, warnings)


def check(group: str, found: ErrorList) -> None:
    """Raise what is wrong with a review; upstream names neither its kind nor its name."""
    if not found:
        return
    texts = list(dict.fromkeys(f"{cause['field']}: {cause['message']}" for cause in found))
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details = {"group": group, "causes": list(found)}
    raise Invalid(f'.{group} "" is invalid: {joined}', details=details)


def user_info(name: str, uid: str, groups: Sequence[str], extra: Obj) -> Obj:
    """``authentication.k8s.io/v1 UserInfo``, without what is empty."""
    info: Obj = {}
    if name:
        info["username"] = name
    if uid:
        info["uid"] = uid
    if groups:
        info["groups"] = list(groups)
    if extra:
        info["extra"] = {key: list(values) for key, values in extra.items()}
    return info
