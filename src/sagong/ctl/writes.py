"""What a reconcile wrote, and whether the cache has seen it.

A controller that acts on a cache that lacks its own last writes creates things twice. Upstream
counts expectations per controller; here the transport notes the resource version (or the uid of
what is gone) of every write, and the runner waits for those.
"""

import asyncio
from dataclasses import dataclass, field

from sagong.api.call import Answer, Call, Single, Verb
from sagong.api.meta import is_deleting, resource_version_of, uid_of
from sagong.api.types import Obj
from sagong.client.transport import Transport
from sagong.ctl.informer import SharedCache

_WRITES = frozenset({Verb.CREATE, Verb.UPDATE, Verb.PATCH, Verb.DELETE})


@dataclass(slots=True)
class Writes:
    """Successful writes of one reconcile that the cache may not have seen yet."""

    # Newest resource version written, by resource.
    revisions: dict[str, int] = field(default_factory=dict)
    # Resource, namespace, name and uid of what a delete removed at once.
    gone: dict[tuple[str, str, str, str], None] = field(default_factory=dict)

    def note(self, call: Call, obj: Obj) -> None:
        """Remember a successful write by its answer."""
        resource = call.resource.name
        if call.verb == Verb.DELETE and (uid := _deleted_uid(obj)):
            self.gone[resource, call.namespace or "", call.name, uid] = None
            return
        if obj.get("kind") != call.resource.kind:
            return  # A subresource of another kind (Scale, TokenRequest): no version of ours.
        revision = resource_version_of(obj)
        self.revisions[resource] = max(revision, self.revisions.get(resource, 0))

    def unseen(self, cache: SharedCache) -> bool:
        """Whether the cache still lacks any of them. What it does not keep cannot be lacking."""
        return any(
            cache.declared(resource) and cache.revision(resource) < revision
            for resource, revision in self.revisions.items()
        ) or any(cache.declared(gone[0]) and not cache.is_gone(*gone) for gone in self.gone)

    async def wait_seen(self, cache: SharedCache, timeout_seconds: float) -> bool:
        """Wait until the cache has seen them all; False if that took too long."""
        try:
            async with asyncio.timeout(timeout_seconds):
                for resource, revision in self.revisions.items():
                    if cache.declared(resource):
                        await cache.wait_revision(resource, revision)
                for gone in self.gone:
                    if cache.declared(gone[0]):
                        await cache.wait_gone(*gone)
        except TimeoutError:
            return False
        return True


def _deleted_uid(answer: Obj) -> str:
    """The uid of what a delete removed at once; "" if it was only marked, and so has a version."""
    if answer.get("kind") == "Status":
        return str((answer.get("details") or {}).get("uid") or "")
    return "" if is_deleting(answer) else uid_of(answer)


class Noting:
    """A Transport that notes the writes that pass through another one."""

    def __init__(self, transport: Transport, writes: Writes) -> None:
        self._transport = transport
        self._writes = writes

    async def send(self, call: Call) -> Answer:
        answer = await self._transport.send(call)
        if call.verb in _WRITES and not call.options.dry_run and isinstance(answer, Single):
            self._writes.note(call, answer.obj)
        return answer

    async def close(self) -> None:
        """The transport below belongs to whoever made it."""
