"""Delete: at once, gracefully, or held back by finalizers; upstream's BeforeDelete and its kin."""

from collections.abc import Sequence

from sagong.api import errors
from sagong.api.call import Call, Options, Preconditions, Single
from sagong.api.meta import deep_copy
from sagong.api.types import Encoded, Obj, User
from sagong.core.clock import Clock, format_time, parse_time
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.cache import Item
from sagong.server.registry.answers import answer, success, worked_on
from sagong.server.registry.backend import Backend
from sagong.server.registry.served import Served
from sagong.server.registry.update import OUTDATED
from sagong.server.registry.writing import Lost, released, remove, replace

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
ATTEMPTS = 30  # against concurrent writers; past it the client gets a Conflict

# Kinds whose deletion answers with the object instead of a Status (ReturnDeletedObject).
RETURN_OBJECT = frozenset(
    {
        "persistentvolumes",
        "persistentvolumeclaims",
        "pods",
        "podtemplates",
        "resourcequotas",
        "serviceaccounts",
        "services",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "storageclasses.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
        "volumeattributesclasses.storage.k8s.io",
    }
)


async def delete(backend: Backend, call: Call, user: User, *, is_admitted: bool = False) -> Single:
    """Delete an object, or begin to. Raises NotFound, Conflict, Forbidden."""
    warnings: Sequence[str] = ()
    served = backend.served(call.resource)
    check_delete_options(call.options)
    item: Item | None = await backend.item(served, call.namespace, call.name)
    for _ in range(ATTEMPTS):
        if item is None:
            break
        check_preconditions(served, item, call.options.preconditions)
        if not is_admitted:
            old = (await worked_on(served, item.encoded)).obj
            warnings = await _admit(backend, served, call, user, old)
        try:
            encoded, done = await delete_item(backend, served, item, call.options)
        except Lost as lost:
            item = lost.item
            continue
        if done and served.storage.name not in RETURN_OBJECT:
            return Single(success(served, item.encoded.obj), warnings=warnings)
        later = not done and call.options.orphan_dependents is False
        code = 202 if later else 200
        return await answer(served, encoded, code=code, warnings=warnings)
    resource = served.resource
    if item is None:
        raise errors.not_found(resource.group, resource.plural, call.name)
    raise errors.conflict(resource.group, resource.plural, call.name, OUTDATED)


def check_delete_options(options: Options) -> None:
    """Refuse contradictions, as ValidateDeleteOptions."""
    policy = options.propagation_policy
    causes = []
    if policy is not None and options.orphan_dependents is not None:
        causes.append(
            {
                "reason": "FieldValueInvalid",
                "message": f'Invalid value: "{policy}": orphanDependents and deletionPropagation '
                "cannot be both set",
                "field": "propagationPolicy",
            }
        )
    if policy not in (None, "Foreground", "Background", "Orphan"):
        causes.append(
            {
                "reason": "FieldValueNotSupported",
                "message": f'Unsupported value: "{policy}": supported values: '
                '"Foreground", "Background", "Orphan", "nil"',
                "field": "propagationPolicy",
            }
        )
    if causes:
        raise errors.invalid("meta.k8s.io", "DeleteOptions", "", causes)


def check_preconditions(served: Served, item: Item, wanted: Preconditions | None) -> None:
    """Raises Conflict if the object is not the one the client means."""
    if wanted is None:
        return
    metadata = item.encoded.obj["metadata"]
    kind, name = served.resource.kind, metadata["name"]
    if wanted.uid is not None and wanted.uid != metadata["uid"]:
        raise errors.conflict(
            "",
            kind,
            name,
            f"the UID in the precondition ({wanted.uid}) does not match the UID in record "
            f"({metadata['uid']}). The object might have been deleted and then recreated",
        )
    if wanted.resource_version is not None and wanted.resource_version != str(item.revision):
        raise errors.conflict(
            "",
            kind,
            name,
            f"the ResourceVersion in the precondition ({wanted.resource_version}) does not match "
            f"the ResourceVersion in record ({item.revision}). The object might have been modified",
        )


async def _admit(
    backend: Backend, served: Served, call: Call, user: User, old: Obj
) -> Sequence[str]:
    """Raises what admission refuses with; the warnings that it gives."""
    attributes = Attributes(
        operation=Operation.DELETE,
        resource=served.storage,
        requested=served.resource,
        subresource="",
        namespace=call.namespace or "",
        name=call.name,
        obj=None,
        old=old,
        options=call.options,
        user=user,
        lister=backend.caches,
        annotations=call.notes,
    )
    await backend.admission.admit(attributes)
    await backend.admission.validate(attributes)
    return attributes.warnings


async def delete_item(
    backend: Backend, served: Served, item: Item, options: Options
) -> tuple[Encoded, bool]:
    """Delete one object or mark it; the object as it then is, and whether it is gone."""
    old = item.encoded.obj
    new = plan_deletion(served, old, options, clock=backend.clock)
    if new is None:
        if options.dry_run:
            return item.encoded, True
        encoded = await remove(backend, served, item)
        await released(backend, served, old)
        return encoded, True
    if new == old:
        return item.encoded, False
    if options.dry_run:
        return Encoded(new), False
    return await replace(backend, served, item, new), False


def plan_deletion(served: Served, old: Obj, options: Options, *, clock: Clock) -> Obj | None:
    """What the object becomes; None if nothing keeps it."""
    new: Obj = deep_copy(old)
    metadata = new["metadata"]
    now = clock.now()
    _set_finalizers(served, metadata, options)
    if served.storage.name == "namespaces":
        return _plan_namespace(new, now)
    if served.strategy.graceful and _plan_grace(new, options, now):
        return new
    if not metadata.get("deletionTimestamp"):
        served.strategy.begin_deletion(new, format_time(now))
    if not metadata.get("finalizers"):
        return None
    if not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = format_time(now)
        _count_generation(metadata)
    metadata["deletionGracePeriodSeconds"] = 0
    return new


def _plan_namespace(new: Obj, now: float) -> Obj | None:
    metadata = new["metadata"]
    if metadata.get("deletionTimestamp"):
        held = metadata.get("finalizers") or (new.get("spec") or {}).get("finalizers")
        return new if held else None
    metadata["deletionTimestamp"] = format_time(now)
    new["status"] = {**(new.get("status") or {}), "phase": "Terminating"}
    held = metadata.get("finalizers") or (new.get("spec") or {}).get("finalizers")
    return new if held else None


def _count_generation(metadata: Obj) -> None:
    if metadata.get("generation"):
        metadata["generation"] += 1


def _plan_grace(new: Obj, options: Options, now: float) -> bool:
    """Set or shorten the grace of a pod; True if it stays for its node to end it."""
    metadata = new["metadata"]
    deleted_at = metadata.get("deletionTimestamp")
    asked = options.grace_period_seconds
    if deleted_at:
        current = int(metadata.get("deletionGracePeriodSeconds") or 0)
        if current == 0 or asked == 0:
            return False
        if asked is None or max(asked, 1) >= current:
            return True
        asked = max(asked, 1)
        requested_at = parse_time(deleted_at) - current
        metadata["deletionTimestamp"] = format_time(requested_at + asked)
        metadata["deletionGracePeriodSeconds"] = asked
        _count_generation(metadata)
        return True
    grace = _pod_grace(new, asked)
    if grace == 0:
        return False
    metadata["deletionTimestamp"] = format_time(now + grace)
    metadata["deletionGracePeriodSeconds"] = grace
    _count_generation(metadata)
    return True


def _pod_grace(pod: Obj, asked: int | None) -> int:
    """Seconds that a pod gets to end by itself (pod strategy's CheckGracefulDelete)."""
    spec, phase = pod.get("spec") or {}, (pod.get("status") or {}).get("phase")
    grace = asked if asked is not None else int(spec.get("terminationGracePeriodSeconds") or 0)
    if grace < 0:
        grace = 1
    return 0 if not spec.get("nodeName") or phase in ("Succeeded", "Failed") else grace


def _set_finalizers(served: Served, metadata: Obj, options: Options) -> None:
    """The finalizers by which the garbage collector learns what the client asked for."""
    finalizers = [f for f in metadata.get("finalizers") or [] if f not in (ORPHAN, FOREGROUND)]
    had = set(metadata.get("finalizers") or [])
    if _wants(ORPHAN, served, had, options):
        finalizers.append(ORPHAN)
    if _wants(FOREGROUND, served, had, options):
        finalizers.append(FOREGROUND)
    if set(finalizers) == had:
        return
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)


def _wants(finalizer: str, served: Served, had: set[str], options: Options) -> bool:
    policy = options.propagation_policy
    if options.orphan_dependents is not None:
        return options.orphan_dependents and finalizer == ORPHAN
    if policy is not None:
        return policy == {ORPHAN: "Orphan", FOREGROUND: "Foreground"}[finalizer]
    if finalizer in had:
        return True
    return finalizer == ORPHAN and not had and served.strategy.default_propagation == "orphan"
