"""metadata.managedFields of a write: who manages which fields (``api.apply.managed``).

Upstream records them on the object as the client meant it, with defaults, before the strategy
prepares it and admission adds to it; so do we.
"""

from sagong.api.apply.managed import Writer, record_update
from sagong.api.call import Call
from sagong.api.types import Obj
from sagong.core.clock import format_time
from sagong.server.registry.served import Served

# Subresources whose writes upstream does not record.
UNRECORDED = frozenset(("binding", "eviction", "token"))
# Longest manager name; a User-Agent beyond it is cut (upstream's managerOrUserAgent).
MANAGER_LENGTH_MAX = 128


def manager_of(call: Call) -> str:
    """The field manager: as named, or the User-Agent up to its first slash."""
    agent = call.user_agent.partition("/")[0]
    return call.options.field_manager or agent[:MANAGER_LENGTH_MAX] or "unknown"


def writer_of(served: Served, call: Call, now: float) -> Writer:
    return Writer(
        manager=manager_of(call),
        api_version=served.resource.api_version,
        time=format_time(now),
        subresource=call.subresource,
    )


def record(served: Served, new: Obj, old: Obj | None, call: Call, now: float) -> None:
    """Set ``new``'s managedFields."""
    if served.node is None or call.subresource in UNRECORDED:
        return
    shown_new = served.from_storage(new)
    shown_old = None if old is None else served.from_storage(old)
    entries = record_update(shown_old, shown_new, served.node, writer_of(served, call, now))
    if entries:
        new["metadata"]["managedFields"] = entries
    else:
        new["metadata"].pop("managedFields", None)


def same_but_times(new: Obj, old: Obj) -> bool:
    """Are two objects' managedFields equal but for their times?"""
    ours = new["metadata"].get("managedFields") or []
    theirs = old["metadata"].get("managedFields") or []
    return [_timeless(entry) for entry in ours] == [_timeless(entry) for entry in theirs]


def _timeless(entry: Obj) -> Obj:
    return {key: value for key, value in entry.items() if key != "time"}
