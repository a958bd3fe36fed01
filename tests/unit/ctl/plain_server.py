"""The least API server that the kit can be tried on: objects in a MemoryStore, nothing validated.

Its answers have the shape of the real server's (which sits above this package and has tests of the
kit over it): resource versions are the store's revisions, watches are the store's.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson

from sagong.api import errors
from sagong.api.call import (
    Answer,
    Call,
    Event,
    EventType,
    Listing,
    PatchType,
    Single,
    Verb,
    Watching,
)
from sagong.api.meta import deep_copy
from sagong.api.resources import ResourceTable
from sagong.api.types import Encoded, Obj, User
from sagong.client.client import Client
from sagong.client.in_process import InProcess
from sagong.store.drivers.memory import MemoryStore
from sagong.store.errors import Compacted, WatchOverflow
from sagong.store.interface import Batch, Compare, Delete, Entry, Put


class PlainServer:
    """Dispatch for InProcess. ``before`` may raise or wait ahead of any call."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.calls: list[Call] = []
        self.before: Callable[[Call], None] = lambda call: None
        # While cleared, watches deliver nothing: a cache that lags.
        self.delivering = asyncio.Event()
        self.delivering.set()
        self._uids = itertools.count(1)

    def client(self) -> Client:
        return Client(InProcess(self.dispatch, User("tester")), ResourceTable())

    def count(self, verb: Verb, resource: str) -> int:
        return sum(call.verb == verb and call.resource.name == resource for call in self.calls)

    async def dispatch(self, call: Call, user: User) -> Answer:
        self.calls.append(call)
        self.before(call)
        if call.verb == Verb.LIST:
            return await self._list(call)
        if call.verb == Verb.WATCH:
            return Watching(self._watch(call))
        if call.verb == Verb.CREATE:
            return await self._create(call)
        entry = await self.store.get(self._key(call, call.name))
        if entry is None:
            raise errors.not_found(call.resource.group, call.resource.plural, call.name)
        if call.verb == Verb.GET:
            return Single(Encoded(decode(entry)))
        if call.verb == Verb.DELETE:
            return await self._delete(call, entry)
        return await self._write(call, entry)

    def _key(self, call: Call, name: str) -> str:
        return f"/{call.resource.name}/{call.namespace or ''}/{name}"

    async def _list(self, call: Call) -> Listing:
        found = await self.store.range(f"/{call.resource.name}/")
        items = [Encoded(decode(entry)) for entry in found.entries]
        return Listing(call.resource, items, str(found.revision))

    async def _watch(self, call: Call) -> AsyncIterator[Event]:
        start = int(call.options.resource_version) + 1
        try:
            async for batch in self.store.watch(f"/{call.resource.name}/", start_revision=start):
                await self.delivering.wait()
                for event in await self._events_of(batch):
                    yield event
        except Compacted:
            raise errors.Expired("too old resource version") from None
        except WatchOverflow as error:
            raise errors.ServiceUnavailable(str(error)) from error

    async def _create(self, call: Call) -> Single:
        obj = deep_copy(call.body)
        meta = obj["metadata"]
        meta["uid"] = f"uid-{next(self._uids)}"
        key = self._key(call, meta["name"])
        result = await self.store.txn([Compare(key, 0)], [Put(key, orjson.dumps(obj))])
        if not result.succeeded:
            raise errors.already_exists(call.resource.group, call.resource.plural, meta["name"])
        meta["resourceVersion"] = str(result.revision)
        return Single(Encoded(obj), 201)

    async def _write(self, call: Call, entry: Entry) -> Single:
        obj = decode(entry)
        if call.verb == Verb.PATCH:
            obj = merged(obj, call.body, strategic=call.patch_type == PatchType.STRATEGIC)
        else:
            obj = deep_copy(call.body)
            if obj["metadata"].get("resourceVersion") not in (None, str(entry.mod_revision)):
                names = call.resource.group, call.resource.plural, call.name
                raise errors.conflict(*names, "the object has been modified")
            obj["metadata"]["uid"] = decode(entry)["metadata"]["uid"]
        compare = Compare(entry.key, entry.mod_revision)
        result = await self.store.txn([compare], [Put(entry.key, orjson.dumps(obj))])
        assert result.succeeded
        obj["metadata"]["resourceVersion"] = str(result.revision)
        return Single(Encoded(obj))

    async def _delete(self, call: Call, entry: Entry) -> Single:
        await self.store.txn([], [Delete(entry.key)])
        details = {"name": call.name, "uid": decode(entry)["metadata"]["uid"]}
        status = {"kind": "Status", "status": "Success", "details": details}
        return Single(Encoded(status))

    async def _events_of(self, batch: Batch) -> list[Event]:
        """Nothing changed: a bookmark."""
        revision = str(batch.revision)
        if not batch.changes:
            return [Event(EventType.BOOKMARK, Encoded({"metadata": {"resourceVersion": revision}}))]
        events = []
        for change in batch.changes:
            created = change.create_revision == change.revision
            kind, value = EventType.ADDED if created else EventType.MODIFIED, change.value
            if value is None:
                before = await self.store.range(change.key, revision=change.revision - 1)
                kind, value = EventType.DELETED, before.entries[0].value
            obj = orjson.loads(value)
            obj["metadata"]["resourceVersion"] = revision
            events.append(Event(kind, Encoded(obj)))
        return events


def decode(entry: Entry) -> Obj:
    obj: Obj = orjson.loads(entry.value)
    obj["metadata"]["resourceVersion"] = str(entry.mod_revision)
    return obj


def merged(obj: Any, patch: Any, *, strategic: bool) -> Any:
    """A merge patch; with owner references merged by uid if strategic. Uids must agree."""
    uid = obj["metadata"]["uid"]
    if patch.get("metadata", {}).get("uid", uid) != uid:
        raise errors.Invalid("metadata.uid: field is immutable")
    out = deep_copy(obj)
    references = patch.get("metadata", {}).get("ownerReferences")
    if strategic and references is not None:
        kept = {ref["uid"]: ref for ref in out["metadata"].get("ownerReferences", ())}
        for ref in references:
            if ref.get("$patch") == "delete":
                kept.pop(ref["uid"], None)
            else:
                kept[ref["uid"]] = ref
        out["metadata"]["ownerReferences"] = list(kept.values())
        patch = {k: v for k, v in patch.items() if k != "metadata"}
    return _merge(out, patch)


def _merge(target: Obj, patch: Obj) -> Obj:
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        elif value is None:
            target.pop(key, None)
        else:
            target[key] = value
    return target
