"""Update: ``PUT`` of an object or of its status; the flow that patches share."""

from collections.abc import Callable

from sagong.api import errors
from sagong.api.call import Call, Preconditions, Single
from sagong.api.meta import deep_copy
from sagong.api.types import Encoded, Obj, User
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.cache import Item
from sagong.server.handlers import Facet
from sagong.server.keys import path_of, prefix_of
from sagong.server.kinds.object_meta import validate_status_update, validate_update
from sagong.server.registry.answers import answer, to_be_stored, worked_on
from sagong.server.registry.backend import Backend
from sagong.server.registry.create import check_namespace, create_object
from sagong.server.registry.ownership import record, same_but_times
from sagong.server.registry.receiving import check_options, receive
from sagong.server.registry.served import Served
from sagong.server.registry.writing import Lost, released, remove, replace

OUTDATED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)
# Attempts against concurrent writers where the client did not name a version. Upstream's
# GuaranteedUpdate tries for ever; past this a Conflict is the honest answer.
UNCONDITIONAL_ATTEMPTS = 30

# Subresources whose handlers make the whole change themselves: the strategy of the main resource,
# which would take it back or forbid it, has no say.
ACTIONS = frozenset(
    ("binding", "eviction", "ephemeralcontainers", "resize", "finalize", "approval", "token")
)
# Actions that admission has seen as what they create (``registry/actions.py``).
ADMITTED_BEFORE = frozenset(("binding", "eviction"))
# Of them, those whose change stands as it is: nothing is there to be defaulted or recorded. It
# shares what it does not change with the object before, and nobody changes it any more.
BARE_ACTIONS = frozenset(("binding",))
COUNTED_ACTIONS = frozenset(("ephemeralcontainers", "resize"))

# From the current object (shared: copy it) to the new one, which this makes; may be called again.
Change = Callable[[Obj], Obj]


async def update(backend: Backend, call: Call, user: User) -> Single:
    """Replace an object by the call's body. Raises Conflict, NotFound, Invalid, ..."""
    check_options(call)
    served = backend.served(call.resource)
    warnings: list[str] = []
    body = receive(call, served, warnings)
    check_namespace(call, body)
    metadata = body["metadata"]
    name = metadata.get("name") or ""
    if not name:
        raise errors.BadRequest(
            f"the name of the object ({call.name} based on URL) was undeterminable: "
            "name must be provided"
        )
    if name != call.name:
        raise errors.BadRequest(
            f"the name of the object ({name}) does not match the name on the URL ({call.name})"
        )
    await backend.wait_fresh()
    path = path_of(call.namespace, call.name)
    item = backend.cache(served).get(path)
    if item is None:
        return await _create_instead(backend, call, user, body, warnings)
    version = metadata.get("resourceVersion") or ""
    if not version and not served.strategy.unconditional_update:
        raise errors.invalid(
            served.resource.group, served.resource.kind, call.name, [_must_be_specified()]
        )
    uid = metadata.get("uid")
    preconditions = Preconditions(uid or None, None if version in ("", "0") else version)

    def change(current: Obj) -> Obj:
        copied: Obj = deep_copy(body)
        return copied

    flow = Flow(backend, call, user, served, change, preconditions, warnings)
    return await flow.run(item)


def _must_be_specified() -> Obj:
    return {
        "reason": "FieldValueInvalid",
        "message": "Invalid value: 0: must be specified for an update",
        "field": "metadata.resourceVersion",
    }


async def _create_instead(
    backend: Backend, call: Call, user: User, body: Obj, warnings: list[str]
) -> Single:
    served = backend.served(call.resource)
    resource = served.resource
    if not served.strategy.create_on_update or call.subresource:
        raise errors.not_found(resource.group, resource.plural, call.name)
    if body["metadata"].get("resourceVersion") or body["metadata"].get("uid"):
        raise errors.not_found(resource.group, resource.plural, call.name)
    encoded = await create_object(backend, call, user, body, warnings)
    return await answer(served, encoded, code=201, warnings=warnings)


class Flow:
    """One update, from the change that the client wants to the state that is stored."""

    def __init__(
        self,
        backend: Backend,
        call: Call,
        user: User,
        served: Served,
        change: Change,
        preconditions: Preconditions,
        warnings: list[str],
        *,
        attempts: int = UNCONDITIONAL_ATTEMPTS,
        before_store: Callable[[Obj, Obj], None] | None = None,
        is_apply: bool = False,
        facet: Facet | None = None,
    ) -> None:
        self._backend = backend
        self._call = call
        self._user = user
        self._served = served
        self._change = change
        self._preconditions = preconditions
        self._warnings = warnings
        self._attempts = attempts
        self._before_store = before_store
        self._is_apply = is_apply
        self._facet = facet

    async def run(self, item: Item) -> Single:
        """Change the object, again if somebody else was faster. Raises Conflict, ..."""
        encoded = await self._store(item)
        return await answer(self._served, encoded, warnings=self._warnings)

    async def _store(self, item: Item) -> Encoded:
        for _ in range(self._attempts):
            told = list(self._warnings)
            try:
                self._check_preconditions(item)
                return await self._attempt(item)
            except Lost as lost:
                del self._warnings[:]
                self._warnings += told
                if lost.item is None:
                    raise self._not_found() from None
                item = lost.item
            except errors.Conflict:
                # Decided on what a cache showed: with a shared store, look at the store itself.
                fresh = await self._fresher(item)
                if fresh is None:
                    raise
                item = fresh
        raise self._conflict(OUTDATED)

    async def _fresher(self, item: Item) -> Item | None:
        if self._backend.store_is_local:
            return None
        fresh = await self._backend.stored_item(self._served, item.path)
        return fresh if fresh is not None and fresh.revision > item.revision else None

    def _check_preconditions(self, item: Item) -> None:
        wanted = self._preconditions
        found = item.encoded.obj["metadata"]
        if wanted.uid and wanted.uid != found["uid"]:
            raise self._conflict(
                f"StorageError: invalid object, Code: 4, Key: "
                f"{prefix_of(self._served.storage)}{item.path}, ResourceVersion: 0, "
                f"AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted.uid}, "
                f"UID in object meta: {found['uid']}"
            )
        if wanted.resource_version and wanted.resource_version != str(item.revision):
            raise self._conflict(OUTDATED)

    def _conflict(self, why: str) -> errors.Conflict:
        resource = self._served.resource
        return errors.conflict(resource.group, resource.plural, self._call.name, why)

    def _not_found(self) -> errors.NotFound:
        resource = self._served.resource
        return errors.not_found(resource.group, resource.plural, self._call.name)

    async def _attempt(self, item: Item) -> Encoded:
        backend, served, call = self._backend, self._served, self._call
        old = (await worked_on(served, item.encoded)).obj
        new = self._change(old)
        if new is old:
            return item.encoded
        if call.subresource in BARE_ACTIONS:
            return await self._write(item, new, old)
        served.strategy.default(new)
        new["metadata"].setdefault("creationTimestamp", old["metadata"]["creationTimestamp"])
        if not self._is_apply:
            record(served, new, old, call, backend.clock.now())
        prepare_update(served, new, old, call.subresource)
        attributes = await self._admit(new, old)
        settler = backend.settlers.get(served.storage.name)
        if settler is None:
            return await self._write(item, new, old)
        stored = False
        try:
            encoded = await self._write(item, new, old)
            stored = True
            return encoded
        finally:
            await settler.settle(attributes, stored=stored)

    async def _write(self, item: Item, new: Obj, old: Obj) -> Encoded:
        backend, served, call = self._backend, self._served, self._call
        if call.options.dry_run:
            new["metadata"]["resourceVersion"] = str(item.revision)
            return Encoded(new)
        if _says_the_same(new, old):
            return item.encoded
        if ends_deletion(served, new, old):
            await remove(backend, served, item)
            await released(backend, served, old)
            return Encoded({**new, "metadata": {**new["metadata"]}})
        stored = await to_be_stored(served, new)
        shared = call.subresource in BARE_ACTIONS
        return await replace(backend, served, item, stored, is_shared=shared)

    async def _admit(self, new: Obj, old: Obj) -> Attributes:
        served, call, facet = self._served, self._call, self._facet
        admission = self._backend.admission
        is_asked = call.subresource not in ADMITTED_BEFORE
        attributes = Attributes(
            operation=Operation.UPDATE,
            resource=served.storage,
            requested=served.resource,
            subresource=call.subresource,
            namespace=call.namespace or "",
            name=call.name,
            obj=new if facet is None else facet.show(new),
            old=old if facet is None else facet.show(old),
            options=call.options,
            user=self._user,
            lister=self._backend.caches,
            annotations=call.notes,
        )
        if is_asked:
            await admission.admit(attributes)
        if facet is not None and attributes.obj is not None:
            facet.take(new, attributes.obj)
        served.strategy.default(new)
        self._validate(new, old)
        attributes.warnings += served.strategy.warnings(new, old)
        if is_asked:
            await admission.validate(attributes)
        self._warnings += attributes.warnings
        return attributes

    def _validate(self, new: Obj, old: Obj) -> None:
        served, strategy = self._served, self._served.strategy
        namespaced = served.storage.namespaced
        if self._call.subresource in ACTIONS:
            return  # validated by its handler
        if self._call.subresource == "status":
            found = validate_status_update(new, old, strategy, namespaced=namespaced)
        else:
            found = validate_update(
                new, old, strategy, namespaced=namespaced, custom=served.is_custom
            )
        if found:
            resource = served.resource
            raise errors.invalid(resource.group, resource.kind, self._call.name, found)


def _says_the_same(new: Obj, old: Obj) -> bool:
    """Does nothing differ but the times in managedFields? Such a write is none."""
    if {**new, "metadata": None} != {**old, "metadata": None}:
        return False
    return _unmanaged(new["metadata"]) == _unmanaged(old["metadata"]) and same_but_times(new, old)


def _unmanaged(metadata: Obj) -> Obj:
    return {k: v for k, v in metadata.items() if k not in ("managedFields", "resourceVersion")}


def prepare_update(served: Served, new: Obj, old: Obj, subresource: str) -> None:
    """Keep what a client may not change, count generations; changes ``new``."""
    strategy = served.strategy
    _keep_metadata(new["metadata"], old["metadata"])
    if subresource in ACTIONS:
        if subresource in COUNTED_ACTIONS and _content(new) != _content(old):
            new["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1
        return
    if subresource == "status":
        status = new.get("status")
        for field in [f for f in new if f not in ("apiVersion", "kind", "metadata", "status")]:
            del new[field]
        for field, value in old.items():
            if field not in ("apiVersion", "kind", "metadata", "status"):
                new[field] = deep_copy(value)
        if status is None:
            new.pop("status", None)
        owners = old["metadata"].get("ownerReferences")
        _set(new["metadata"], "ownerReferences", deep_copy(owners))
        strategy.prepare_for_status_update(new, old)
        return
    if strategy.has_status and served.storage.subresource("status"):
        _set(new, "status", deep_copy(old.get("status")))
    strategy.prepare_for_update(new, old)
    if strategy.has_generation and _content(new) != _content(old):
        new["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1


def _keep_metadata(new: Obj, old: Obj) -> None:
    _set(new, "generation", old.get("generation"))
    _set(new, "deletionTimestamp", old.get("deletionTimestamp"))
    _set(new, "deletionGracePeriodSeconds", old.get("deletionGracePeriodSeconds"))
    new.pop("selfLink", None)
    for field in ("uid", "creationTimestamp"):
        if not new.get(field):
            _set(new, field, old.get(field))
    if not new.get("generateName"):
        _set(new, "generateName", old.get("generateName"))
    new["resourceVersion"] = old["resourceVersion"]


def _set(target: Obj, field: str, value: object) -> None:
    if value is None:
        target.pop(field, None)
    else:
        target[field] = value


def _content(obj: Obj) -> Obj:
    return {k: v for k, v in obj.items() if k not in ("metadata", "status")}


def ends_deletion(served: Served, new: Obj, old: Obj) -> bool:
    """Does this update take away the last thing that kept a deleted object alive?"""
    metadata = new["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if served.storage.name == "namespaces":
        return not (new.get("spec") or {}).get("finalizers")
    return not metadata.get("deletionGracePeriodSeconds")
