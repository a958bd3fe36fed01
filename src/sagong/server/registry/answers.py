"""Answers in the version in which the client asked."""

from collections.abc import Sequence

from sagong.api.call import Single
from sagong.api.meta import deep_copy
from sagong.api.types import Encoded, Obj
from sagong.server.registry.served import Served


def shown(served: Served, encoded: Encoded) -> Encoded:
    """A stored object in the served version."""
    if not served.is_converted:
        return encoded
    return Encoded(served.from_storage(deep_copy(encoded.obj)))


def single(
    served: Served, encoded: Encoded, *, code: int = 200, warnings: Sequence[str] = ()
) -> Single:
    return Single(shown(served, encoded), code, tuple(dict.fromkeys(warnings)))


async def answer(
    served: Served, encoded: Encoded, *, code: int = 200, warnings: Sequence[str] = ()
) -> Single:
    """The same for a stored state that may have to be converted first. Raises ``api.errors``."""
    return single(served, await worked_on(served, encoded), code=code, warnings=warnings)


async def worked_on(served: Served, encoded: Encoded) -> Encoded:
    """A stored state in the form in which the registry works on it."""
    if served.converter is None:
        return encoded
    (found,) = await served.converter.read([encoded], served.resource.api_version)
    return found


async def to_be_stored(served: Served, obj: Obj) -> Obj:
    """What the registry has worked on, in the form in which it is stored."""
    if served.converter is None:
        return obj
    (found,) = await served.converter.convert([obj], served.storage.api_version)
    return found


def success(served: Served, obj: Obj) -> Encoded:
    """The Status of a deletion that is done."""
    details: Obj = {"name": obj["metadata"]["name"]}
    if served.resource.group:
        details["group"] = served.resource.group
    details["kind"] = served.resource.plural
    details["uid"] = obj["metadata"]["uid"]
    return Encoded(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details,
        }
    )
