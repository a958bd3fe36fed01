"""Create: ``POST`` of a collection."""

from sagong.api import errors
from sagong.api.call import Call, Options, PatchType, Single
from sagong.api.types import Encoded, Obj, User
from sagong.core.clock import format_time
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.keys import path_of
from sagong.server.kinds.object_meta import validate_create
from sagong.server.registry.answers import answer, to_be_stored
from sagong.server.registry.backend import Backend
from sagong.server.registry.ownership import record
from sagong.server.registry.receiving import check_options, receive
from sagong.server.registry.served import Served
from sagong.server.registry.writing import Lost, insert

GENERATED_NAME_MAX = 63  # what a name generator may produce (upstream's names.maxNameLength)
SUFFIX_LENGTH = 5
GENERATE_ATTEMPTS = 8  # upstream's bound for collisions of generated names


async def create(backend: Backend, call: Call, user: User) -> Single:
    """Store the call's body as a new object. Raises AlreadyExists, BadRequest, Invalid, ..."""
    check_options(call)
    served = backend.served(call.resource)
    warnings: list[str] = []
    obj = receive(call, served, warnings)
    check_namespace(call, obj)
    encoded = await create_object(backend, call, user, obj, warnings)
    return await answer(served, encoded, code=201, warnings=warnings)


async def create_object(
    backend: Backend, call: Call, user: User, obj: Obj, warnings: list[str]
) -> Encoded:
    """Create a received object, of whose copy this takes possession."""
    served = backend.served(call.resource)
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise errors.ApiError("resourceVersion should not be set on objects to be created")
    metadata.pop("resourceVersion", None)
    base = metadata.get("generateName") if not metadata.get("name") else None
    for attempt in range(GENERATE_ATTEMPTS):
        if base:
            metadata["name"] = generated_name(base, backend.ids.suffix(SUFFIX_LENGTH))
        last = attempt == GENERATE_ATTEMPTS - 1
        if not base or last or not _taken(backend, served, call, metadata["name"]):
            break
    served.strategy.default(obj)
    if not is_apply(call):
        record(served, obj, None, call, backend.clock.now())
    prepare(backend, served, obj)
    attributes = await admitted(backend, call, user, obj)
    warnings += attributes.warnings
    settler = backend.settlers.get(served.storage.name)
    if settler is None:
        return await _insert(backend, served, call, obj)
    stored = False
    try:
        encoded = await _insert(backend, served, call, obj)
        stored = True
        return encoded
    finally:
        await settler.settle(attributes, stored=stored)


def generated_name(base: str, suffix: str) -> str:
    return base[: GENERATED_NAME_MAX - SUFFIX_LENGTH] + suffix


def _taken(backend: Backend, served: Served, call: Call, name: str) -> bool:
    return backend.cache(served).get(path_of(call.namespace, name)) is not None


def check_namespace(call: Call, obj: Obj) -> None:
    """The object's namespace must be the call's; set it where it is left out."""
    metadata = obj["metadata"]
    if not call.resource.namespaced:
        if metadata.get("namespace"):
            raise errors.BadRequest(
                "the namespace of the provided object does not match the namespace "
                "sent on the request"
            )
        metadata.pop("namespace", None)
        return
    if not call.namespace:
        raise errors.BadRequest("an empty namespace may not be set during creation")
    if metadata.get("namespace") not in (None, "", call.namespace):
        raise errors.BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    metadata["namespace"] = call.namespace


def prepare(backend: Backend, served: Served, obj: Obj) -> None:
    """System metadata, and what a client may not set."""
    strategy = served.strategy
    metadata = obj["metadata"]
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
        metadata.pop(field, None)
    metadata["uid"] = backend.ids.uid()
    metadata["creationTimestamp"] = format_time(backend.clock.now())
    if strategy.has_generation:
        metadata["generation"] = 1
    keeps = strategy.status_on_create or not strategy.has_status
    if not keeps and served.storage.subresource("status") is not None:
        obj.pop("status", None)
        strategy.default(obj)
    strategy.prepare_for_create(obj)


async def admitted(backend: Backend, call: Call, user: User, obj: Obj) -> Attributes:
    """Run admission and validation over a prepared object. Raises what they refuse with."""
    served = backend.served(call.resource)
    attributes = Attributes(
        operation=Operation.CREATE,
        resource=served.storage,
        requested=served.resource,
        subresource="",
        namespace=call.namespace or "",
        name=obj["metadata"].get("name", ""),
        obj=obj,
        old=None,
        options=call.options,
        user=user,
        lister=backend.caches,
        annotations=call.notes,
    )
    await backend.admission.admit(attributes)
    served.strategy.default(obj)
    found = validate_create(
        obj,
        served.strategy,
        namespaced=served.storage.namespaced,
        custom=served.is_custom,
    )
    if found:
        name = obj["metadata"].get("name", "")
        raise errors.invalid(served.resource.group, served.resource.kind, name, found)
    attributes.warnings += served.strategy.warnings(obj, None)
    await backend.admission.validate(attributes)
    return attributes


async def _insert(backend: Backend, served: Served, call: Call, obj: Obj) -> Encoded:
    path = path_of(call.namespace, obj["metadata"]["name"])
    resource = served.resource
    exists = errors.already_exists(resource.group, resource.plural, obj["metadata"]["name"])
    if is_dry_run(call.options):
        if backend.cache(served).get(path) is not None:
            raise exists
        return Encoded(obj)
    try:
        return await insert(backend, served, path, await to_be_stored(served, obj))
    except Lost:
        raise exists from None


def is_apply(call: Call) -> bool:
    return call.patch_type is PatchType.APPLY


def is_dry_run(options: Options) -> bool:
    return options.dry_run
