"""Who controls which objects, creating many of them with care, and the hash of a pod template.

Semantics: upstream's ``controller_ref_manager.go``, ``slowStartBatch`` and ``ComputeHash``.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import orjson

from sagong.api.call import PatchType
from sagong.api.errors import ApiError, Invalid, NotFound, conflict
from sagong.api.meta import (
    controller_of,
    is_deleting,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.ids import SUFFIX_ALPHABET
from sagong.core.tasks import task_group

SLOW_START_FIRST = 1


@dataclass(frozen=True, slots=True)
class Claims:
    """What an owner should do about objects that could be its own."""

    kept: Sequence[Obj]
    adopt: Sequence[Obj]
    release: Sequence[Obj]


def plan_claims(owner: Obj, objects: Iterable[Obj], matches: Callable[[Obj], bool]) -> Claims:
    """Sort objects by what the owner should do about them. Others' objects are in none.

    Own ones that no longer match are released, orphans that match are adopted; an owner that is
    being deleted does neither, and nothing that is being deleted is adopted.
    """
    kept, adopt, release = [], [], []
    leaving = is_deleting(owner)
    for obj in objects:
        ref = controller_of(obj)
        if ref is not None:
            if ref["uid"] != uid_of(owner):
                continue
            if matches(obj):
                kept.append(obj)
            elif not leaving:
                release.append(obj)
        elif not leaving and not is_deleting(obj) and matches(obj):
            adopt.append(obj)
    return Claims(kept, adopt, release)


async def claim(
    client: Client,
    owner_resource: str,
    owner: Obj,
    resource: str,
    objects: Iterable[Obj],
    matches: Callable[[Obj], bool],
    finalizers: Sequence[str] = (),
) -> list[Obj]:
    """Adopt and release as planned; the objects that are now the owner's.

    ``finalizers`` are given to what is adopted, and taken off what is released.

    Before the first adoption the owner is looked at again, live: it may be gone, or another one
    of the same name. Raises Conflict then.
    """
    claims = plan_claims(owner, objects, matches)
    owned = list(claims.kept)
    for obj in claims.release:
        await release(client, owner, resource, obj, finalizers)
    if claims.adopt:
        await check_alive(client, owner_resource, owner)
    for obj in claims.adopt:
        adopted = await adopt(client, owner, resource, obj, finalizers)
        if adopted is not None:
            owned.append(adopted)
    return owned


async def check_alive(client: Client, owner_resource: str, owner: Obj) -> None:
    """Raises NotFound or Conflict unless this very owner lives and is not being deleted."""
    namespace = namespace_of(owner) or None
    live = await client.get(owner_resource, name_of(owner), namespace=namespace)
    plural, _, group = owner_resource.partition(".")
    if uid_of(live) != uid_of(owner):
        why = f"it was replaced: uid {uid_of(live)}, not {uid_of(owner)}"
        raise conflict(group, plural, name_of(owner), why)
    if is_deleting(live):
        raise conflict(group, plural, name_of(owner), "it is being deleted")


async def adopt(
    client: Client, owner: Obj, resource: str, obj: Obj, finalizers: Sequence[str] = ()
) -> Obj | None:
    """Make the owner the object's controller. None if the object is gone."""
    metadata: Obj = {"ownerReferences": [owner_reference(owner)], "uid": uid_of(obj)}
    if finalizers:
        metadata["finalizers"] = list(finalizers)
    return await _patch(client, resource, obj, {"metadata": metadata})


async def release(
    client: Client, owner: Obj, resource: str, obj: Obj, finalizers: Sequence[str] = ()
) -> None:
    """Take the owner's reference off the object, and the owner's finalizers."""
    gone = {"$patch": "delete", "uid": uid_of(owner)}
    metadata: Obj = {"ownerReferences": [gone], "uid": uid_of(obj)}
    if finalizers:
        metadata["$deleteFromPrimitiveList/finalizers"] = list(finalizers)
    patch = {"metadata": metadata}
    try:
        await _patch(client, resource, obj, patch)
    except Invalid:
        # The uid differs (another object by now), or there was no reference to take off.
        return


async def _patch(client: Client, resource: str, obj: Obj, patch: Obj) -> Obj | None:
    try:
        return await client.patch(
            resource,
            name_of(obj),
            patch,
            namespace=namespace_of(obj) or None,
            patch_type=PatchType.STRATEGIC,
        )
    except NotFound:
        return None


@dataclass(frozen=True, slots=True)
class Started:
    """How far a slow start came: what succeeded, and the first failure, if any."""

    succeeded: int
    failure: ApiError | None


async def slow_start(
    actions: Sequence[Callable[[], Awaitable[object]]], *, first: int = SLOW_START_FIRST
) -> Started:
    """Do the actions in batches of 1, 2, 4, ...; stop after a batch in which one failed.

    When creations fail for all alike (quota, admission), this makes few calls in vain.
    """
    succeeded, size = 0, first
    while succeeded < len(actions):
        batch = actions[succeeded : succeeded + size]
        failures = await _all(batch)
        succeeded += len(batch) - len(failures)
        if failures:
            return Started(succeeded, failures[0])
        size *= 2
    return Started(succeeded, None)


async def _all(actions: Sequence[Callable[[], Awaitable[object]]]) -> list[ApiError]:
    async def attempt(action: Callable[[], Awaitable[object]]) -> ApiError | None:
        try:
            await action()
        except ApiError as error:
            return error
        return None

    if len(actions) == 1:
        results = [await attempt(actions[0])]
    else:
        async with task_group() as tasks:
            started = [tasks.start(attempt(action), name="slow start") for action in actions]
            results = [await task for task in started]
    return [error for error in results if error is not None]


def template_hash(template: Obj, collision_count: int | None = None) -> str:
    """The ``pod-template-hash`` of a template: FNV-1a of its JSON with sorted keys, made safe.

    Unlike upstream's, which hashes Go's memory, it is the same for equal JSON on any machine.
    """
    data = orjson.dumps(template, option=orjson.OPT_SORT_KEYS)
    if collision_count is not None:
        data += collision_count.to_bytes(8, "little")
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return "".join(SUFFIX_ALPHABET[ord(digit) % len(SUFFIX_ALPHABET)] for digit in str(value))
