"""Deletecollection: every object that is selected, one after the other."""

from dataclasses import replace

from sagong.api import errors
from sagong.api.call import Call, Options, Single, Verb
from sagong.api.types import Encoded, Obj, User
from sagong.server.registry.backend import Backend
from sagong.server.registry.deletion import check_delete_options, delete
from sagong.server.registry.listing import list_


async def delete_collection(backend: Backend, call: Call, user: User) -> Single:
    """Delete what is selected; the answer lists what was there."""
    check_delete_options(call.options)
    options = call.options
    selecting = Options(
        label_selector=options.label_selector,
        field_selector=options.field_selector,
        limit=options.limit,
        continue_=options.continue_,
        resource_version=options.resource_version,
        resource_version_match=options.resource_version_match,
    )
    listing = await list_(backend, replace(call, verb=Verb.LIST, options=selecting))
    deleting = replace(options, label_selector="", field_selector="", limit=0, continue_="")
    for encoded in listing.items:
        metadata = encoded.obj["metadata"]
        one = replace(
            call,
            verb=Verb.DELETE,
            name=metadata["name"],
            namespace=metadata.get("namespace"),
            options=deleting,
        )
        try:
            await delete(backend, one, user)
        except errors.NotFound:
            continue  # gone in the meantime, which is what was wanted
    return Single(Encoded(_as_list(call, listing.resource_version, [e.obj for e in listing.items])))


def _as_list(call: Call, version: str, items: list[Obj]) -> Obj:
    return {
        "kind": call.resource.list_kind,
        "apiVersion": call.resource.api_version,
        "metadata": {"resourceVersion": version},
        "items": items,
    }
