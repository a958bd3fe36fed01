"""Calls on stored resources, by verb: the ``Storage`` of server/handlers.py."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from sagong.api import errors
from sagong.api.call import Answer, Call, Listing, Preconditions, Single, Verb, Watching
from sagong.api.meta import deep_copy
from sagong.api.types import Obj, User
from sagong.server.handlers import Facet
from sagong.server.registry.answers import answer, shown
from sagong.server.registry.backend import Backend
from sagong.server.registry.collection import delete_collection
from sagong.server.registry.converting import watch_converted
from sagong.server.registry.create import create
from sagong.server.registry.deletion import delete
from sagong.server.registry.listing import list_, parse_version, wait_for_revision
from sagong.server.registry.patching import patch
from sagong.server.registry.update import BARE_ACTIONS, Flow, update
from sagong.server.registry.watching import watch

# What carries a call out; the user has been authorised.
Action = Callable[[Call, User], Awaitable[Answer]]


class Registry:
    """Upstream's generic registry: every verb on every stored resource and its status."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._reads: dict[Verb, Action] = {
            Verb.GET: self.get,
            Verb.LIST: self.list,
            Verb.WATCH: self.watch,
        }

    async def execute(self, call: Call, user: User) -> Answer:
        """Carry out a call on a main resource or its status, without authorisation."""
        return await self.action_of(call)(call, user)

    def action_of(self, call: Call) -> Action:
        """What carries the call out, and others of its verb. Raises MethodNotAllowed."""
        read = self._reads.get(call.verb)
        if read is not None:
            return read
        write = _WRITES.get(call.verb)
        if write is None:
            raise errors.MethodNotAllowed("the server does not allow this method")
        return partial(write, self.backend)

    async def list(self, call: Call, user: User) -> Listing:
        """Objects of a collection."""
        return await list_(self.backend, call)

    async def watch(self, call: Call, user: User) -> Watching:
        """What happens to them."""
        served = self.backend.served(call.resource)
        if served.converter is not None:
            return await watch_converted(self.backend, call, served)
        return await watch(self.backend, call)

    async def get(self, call: Call, user: User) -> Single:
        """One object. Raises NotFound."""
        served = self.backend.served(call.resource)
        if call.options.resource_version:
            revision = parse_version(call.options.resource_version)
            await wait_for_revision(self.backend, revision)
        item = await self.backend.item(served, call.namespace, call.name)
        if served.converter is None:
            return Single(shown(served, item.encoded))
        return await answer(served, item.encoded)

    async def modify(
        self,
        call: Call,
        user: User,
        change: Callable[[Obj], Obj],
        *,
        subresource: str,
        facet: Facet | None = None,
    ) -> Answer:
        """See ``server.handlers.Storage``. ``change`` gets a copy in the storage version, or the
        object itself where the action is one of BARE_ACTIONS.
        """
        backend = self.backend
        served = backend.served(call.resource)
        item = await backend.item(served, call.namespace, call.name)
        options = call.options.preconditions
        flow = Flow(
            backend,
            replace(call, subresource=subresource),
            user,
            served,
            change if subresource in BARE_ACTIONS else lambda old: change(deep_copy(old)),
            options or Preconditions(),
            [],
            facet=facet,
        )
        return await flow.run(item)

    async def remove(self, call: Call, user: User) -> Answer:
        """See ``server.handlers.Storage``."""
        return await delete(self.backend, call, user, is_admitted=True)


_WRITES: dict[Verb, Callable[[Backend, Call, User], Awaitable[Answer]]] = {
    Verb.CREATE: create,
    Verb.UPDATE: update,
    Verb.PATCH: patch,
    Verb.DELETE: delete,
    Verb.DELETE_COLLECTION: delete_collection,
}
