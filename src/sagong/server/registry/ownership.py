"""metadata.managedFields of a write: who manages which fields (``api.apply.managed``)."""

from sagong.api.call import Call
from sagong.api.types import Obj
from sagong.server.registry.served import Served


def manager_of(call: Call) -> str:
    """The field manager: as named, or the User-Agent up to its first slash."""
    return call.options.field_manager or call.user_agent.partition("/")[0] or "unknown"


def record(
    served: Served, new: Obj, old: Obj | None, call: Call, now: float, *, applied: bool = False
) -> None:
    """Set ``new``'s managedFields."""
