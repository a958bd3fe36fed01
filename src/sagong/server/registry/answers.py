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
