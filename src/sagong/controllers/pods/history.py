"""Writing ControllerRevisions as planned: create, renumber, delete."""

from sagong.api.errors import AlreadyExists, NotFound
from sagong.api.meta import controller_uid, name_of, namespace_of, uid_of
from sagong.api.types import Obj
from sagong.controllers.pods.candidates import candidates, matches_of
from sagong.controllers.pods.revisions import RESOURCE, Current, in_order
from sagong.controllers.pods.template import pruned
from sagong.ctl.controller import Env
from sagong.ctl.ownership import claim


async def claim_revisions(env: Env, owner_resource: str, owner: Obj) -> list[Obj]:
    """The owner's revisions, oldest first."""
    found = candidates(env.cache, RESOURCE, owner)
    matches = matches_of(owner)
    return in_order(await claim(env.client, owner_resource, owner, RESOURCE, found, matches))


async def write_current(env: Env, owner_resource: str, owner: Obj, current: Current) -> None:
    """Make the current revision exist and be the newest. Raises ApiError."""
    if current.renumber:
        await env.client.update(RESOURCE, current.revision)
    if not current.create:
        return
    try:
        await env.client.create(RESOURCE, current.revision)
    except AlreadyExists:
        await _settle_collision(env, owner_resource, owner, current.revision)
        raise


async def _settle_collision(env: Env, owner_resource: str, owner: Obj, made: Obj) -> None:
    """Unless the cache was late, another template has this hash: hash differently next time."""
    live = await env.client.get(RESOURCE, name_of(made), namespace=namespace_of(made))
    if controller_uid(live) == uid_of(owner) and pruned(live["data"]) == pruned(made["data"]):
        return
    status = owner.get("status") or {}
    counted_up = status | {"collisionCount": (status.get("collisionCount") or 0) + 1}
    await env.client.update(owner_resource, owner | {"status": counted_up}, subresource="status")


async def delete_revision(env: Env, revision: Obj) -> None:
    """Delete it unless it is gone. Raises ApiError."""
    name, namespace = name_of(revision), namespace_of(revision)
    try:
        await env.client.delete(RESOURCE, name, namespace=namespace, uid=uid_of(revision))
    except NotFound:
        return
