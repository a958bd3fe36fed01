"""``namespaces/finalize``: change spec.finalizers, which nothing else may."""

from dataclasses import replace

from sagong.api import errors
from sagong.api.call import Answer, Call, Preconditions
from sagong.api.types import Obj, User
from sagong.server.handlers import Context


async def finalize(call: Call, user: User, context: Context) -> Answer:
    """Update a namespace's spec.finalizers. Raises Conflict, NotFound."""
    body = call.body
    metadata = body.get("metadata") or {}
    if metadata.get("name", call.name) != call.name:
        raise errors.BadRequest(
            f"the name of the object ({metadata['name']}) does not match the name on the URL "
            f"({call.name})"
        )
    finalizers = list((body.get("spec") or {}).get("finalizers") or [])

    def change(namespace: Obj) -> Obj:
        namespace["spec"] = {"finalizers": finalizers} if finalizers else {}
        return namespace

    wanted = Preconditions(metadata.get("uid") or None, metadata.get("resourceVersion") or None)
    options = replace(call.options, preconditions=wanted)
    return await context.storage.modify(
        replace(call, options=options), user, change, subresource="finalize"
    )
