"""Patch: JSON, merge, strategic and apply patches over the update flow."""

from sagong.api import errors
from sagong.api.call import Call, PatchType, Preconditions, Single
from sagong.api.meta import deep_copy
from sagong.api.types import Obj, User
from sagong.server.cache import Item
from sagong.server.keys import path_of
from sagong.server.registry.answers import answer
from sagong.server.registry.applying import apply_onto, check_apply
from sagong.server.registry.backend import Backend
from sagong.server.registry.create import check_namespace, create_object
from sagong.server.registry.patch_kinds import patched
from sagong.server.registry.receiving import check_options, check_type, checked
from sagong.server.registry.served import Served
from sagong.server.registry.update import Flow

# Attempts of one patch against concurrent writers (upstream's MaxRetryWhenPatchConflicts).
PATCH_ATTEMPTS = 5


async def patch(backend: Backend, call: Call, user: User) -> Single:
    """Change an object as the call's patch says; apply patches may create it."""
    check_options(call)
    if call.patch_type is PatchType.APPLY:
        check_apply(call)
    served = backend.served(call.resource)
    await backend.wait_fresh()
    for _ in range(PATCH_ATTEMPTS):
        item = backend.cache(served).get(path_of(call.namespace, call.name))
        if item is not None:
            return await _patch_item(backend, call, user, served, item)
        if call.patch_type is not PatchType.APPLY or call.subresource:
            break
        try:
            return await _create(backend, call, user, served)
        except errors.AlreadyExists:
            continue  # somebody else created it first: apply onto theirs
    resource = served.resource
    raise errors.not_found(resource.group, resource.plural, call.name)


async def _patch_item(
    backend: Backend, call: Call, user: User, served: Served, item: Item
) -> Single:
    warnings: list[str] = []

    def change(old: Obj) -> Obj:
        current = served.from_storage(deep_copy(old))
        warnings.clear()
        if call.patch_type is PatchType.APPLY:
            new = apply_onto(current, call, served, backend.clock.now(), warnings)
        else:
            new = deep_copy(patched(current, call, served.node))
            check_type(new, served.resource)
            checked(new, call, served, warnings)
        new["metadata"].setdefault("name", call.name)
        return served.to_storage(new)

    preconditions = Preconditions(None, _version_in(call))
    flow = Flow(
        backend,
        call,
        user,
        served,
        change,
        preconditions,
        warnings,
        attempts=PATCH_ATTEMPTS,
        is_apply=call.patch_type is PatchType.APPLY,
    )
    return await flow.run(item)


def _version_in(call: Call) -> str | None:
    """The resourceVersion that the patch itself demands, if any."""
    if not isinstance(call.body, dict):
        return None
    metadata = call.body.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) and version else None


async def _create(backend: Backend, call: Call, user: User, served: Served) -> Single:
    warnings: list[str] = []
    obj = apply_onto(None, call, served, backend.clock.now(), warnings)
    check_namespace(call, obj)
    encoded = await create_object(backend, call, user, served.to_storage(obj), warnings)
    return await answer(served, encoded, code=201, warnings=warnings)
