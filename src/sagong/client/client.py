"""The client that every component uses, whichever transport carries its calls."""

from collections.abc import AsyncIterator
from typing import Any

from sagong.api import errors
from sagong.api.call import (
    Call,
    Event,
    Listing,
    Options,
    PatchType,
    Preconditions,
    Single,
    Verb,
    Watching,
)
from sagong.api.meta import name_of, namespace_of
from sagong.api.resources import ResourceTable
from sagong.api.types import Obj, Resource
from sagong.client.transport import Transport


class Client:
    """Verbs of the API as methods. Resources are named ``pods`` or ``deployments.apps``.

    Returned objects may be shared with caches: never change them.
    """

    def __init__(
        self, transport: Transport, resources: ResourceTable, *, user_agent: str = "sagong"
    ) -> None:
        self.transport = transport
        self.resources = resources
        self._user_agent = user_agent

    def over(self, transport: Transport) -> "Client":
        """The same client over another transport."""
        return Client(transport, self.resources, user_agent=self._user_agent)

    def _resource(self, name: str) -> Resource:
        resource = self.resources.named(name)
        if resource is None:
            raise errors.unknown_resource()  # what a server says of it
        return resource

    async def _single(self, call: Call) -> Obj:
        answer = await self.transport.send(call)
        assert isinstance(answer, Single)
        return answer.obj

    def _call(self, verb: Verb, resource: str, **fields: Any) -> Call:
        return Call(verb, self._resource(resource), user_agent=self._user_agent, **fields)

    async def get(
        self, resource: str, name: str, *, namespace: str | None = None, subresource: str = ""
    ) -> Obj:
        """One object. Raises NotFound."""
        call = self._call(
            Verb.GET, resource, namespace=namespace, name=name, subresource=subresource
        )
        return await self._single(call)

    async def list(
        self,
        resource: str,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
    ) -> Listing:
        """Objects and the list's resource version; follow ``continue_`` if a limit is given."""
        options = Options(
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            continue_=continue_,
            resource_version=resource_version,
        )
        call = self._call(Verb.LIST, resource, namespace=namespace, options=options)
        answer = await self.transport.send(call)
        assert isinstance(answer, Listing)
        return answer

    async def watch(
        self,
        resource: str,
        *,
        namespace: str | None = None,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
        timeout_seconds: int | None = None,
    ) -> AsyncIterator[Event]:
        """Events after a resource version. Ends when the server ends it; raises Expired at 410.

        Await it to get the iterator (the watch has then been accepted), and ``aclose`` that.
        """
        options = Options(
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            allow_watch_bookmarks=bookmarks,
            timeout_seconds=timeout_seconds,
        )
        call = self._call(Verb.WATCH, resource, namespace=namespace, options=options)
        answer = await self.transport.send(call)
        assert isinstance(answer, Watching)
        return answer.events

    async def create(
        self,
        resource: str,
        obj: Obj,
        *,
        namespace: str | None = None,
        name: str = "",
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
    ) -> Obj:
        """Create; the namespace is taken from the object if not given.

        With a subresource (``binding``, ``eviction``, ``token``) ``name`` is its parent's.
        """
        call = self._call(
            Verb.CREATE,
            resource,
            namespace=namespace or namespace_of(obj) or None,
            name=name,
            subresource=subresource,
            options=Options(field_manager=field_manager, dry_run=dry_run),
            body=obj,
        )
        return await self._single(call)

    async def update(
        self, resource: str, obj: Obj, *, subresource: str = "", field_manager: str = ""
    ) -> Obj:
        """Replace, conditional on metadata.resourceVersion if that is set. Raises Conflict."""
        call = self._call(
            Verb.UPDATE,
            resource,
            namespace=namespace_of(obj) or None,
            name=name_of(obj),
            subresource=subresource,
            options=Options(field_manager=field_manager),
            body=obj,
        )
        return await self._single(call)

    async def patch(
        self,
        resource: str,
        name: str,
        patch: Any,
        *,
        namespace: str | None = None,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str = "",
        force: bool | None = None,
    ) -> Obj:
        """Apply a patch (decoded JSON). Raises NotFound, Conflict, Invalid."""
        call = self._call(
            Verb.PATCH,
            resource,
            namespace=namespace,
            name=name,
            subresource=subresource,
            options=Options(field_manager=field_manager, force=force),
            body=patch,
            patch_type=patch_type,
        )
        return await self._single(call)

    async def delete(
        self,
        resource: str,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
    ) -> Obj:
        """Delete; with a uid, only that very object. Raises NotFound, Conflict."""
        preconditions = Preconditions(uid, resource_version) if uid or resource_version else None
        options = Options(
            preconditions=preconditions,
            grace_period_seconds=grace_period_seconds,
            propagation_policy=propagation_policy,
        )
        call = self._call(Verb.DELETE, resource, namespace=namespace, name=name, options=options)
        return await self._single(call)

    async def delete_collection(
        self,
        resource: str,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Obj:
        """Delete all that match."""
        options = Options(label_selector=label_selector, field_selector=field_selector)
        call = self._call(Verb.DELETE_COLLECTION, resource, namespace=namespace, options=options)
        return await self._single(call)

    async def close(self) -> None:
        await self.transport.close()
