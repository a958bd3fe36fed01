"""A client whose lists and watches see only this node's part of a resource.

The shared cache lists and watches whole resources; the Node authorizer lets an agent see the pods
of its own node alone, and an agent wants no more.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from sagong.api.call import Event, Listing
from sagong.client.client import Client


class NarrowedClient(Client):
    """The same transport and identity; a field selector for some resources."""

    def __init__(self, client: Client, selectors: Mapping[str, str], *, user_agent: str) -> None:
        super().__init__(client.transport, client.resources, user_agent=user_agent)
        self._selectors = selectors

    async def list(self, resource: str, **options: Any) -> Listing:
        return await super().list(resource, **self._narrowed(resource, options))

    async def watch(self, resource: str, **options: Any) -> AsyncIterator[Event]:
        return await super().watch(resource, **self._narrowed(resource, options))

    def _narrowed(self, resource: str, options: dict[str, Any]) -> dict[str, Any]:
        selector = self._selectors.get(resource)
        if selector and not options.get("field_selector"):
            options["field_selector"] = selector
        return options
