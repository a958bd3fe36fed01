"""Empty a namespace that is being deleted, then let it go.

Reads: Namespace; lists every namespaced resource.  Writes: deletes everything in the namespace,
Namespace.status.conditions, Namespace.spec.finalizers (finalize subresource).
Invariant: the finalizer goes only after a pass that found every resource empty.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api import errors
from sagong.api.meta import deep_copy, finalizers_of, is_deleting, name_of
from sagong.api.types import Key, Obj
from sagong.core.clock import format_time
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, after

FINALIZER = "kubernetes"
# Upstream waits for half of the longest grace period it found, plus one; one second is enough to
# notice soon that the last pod is gone, and a pass over an empty namespace costs little.
LOOK_AGAIN_SECONDS = 1.0

CONTROLLER = Controller(name="namespace", reconciles="namespaces", workers=5)


@dataclass(slots=True)
class Contents:
    """What a pass over a namespace found and could not do."""

    remaining: dict[str, int] = field(default_factory=dict)  # resource -> objects
    finalizers: dict[str, int] = field(default_factory=dict)  # finalizer -> objects that have it
    failures: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.remaining and not self.failures


@dataclass(frozen=True, slots=True)
class Seen:
    namespace: Obj
    finalizing: bool  # deletion has begun and our finalizer is still there


def observe(key: Key, cache: Cache) -> Seen | None:
    namespace = cache.get("namespaces", "", key.name)
    if namespace is None:
        return None
    finalizers = (namespace.get("spec") or {}).get("finalizers") or ()
    return Seen(namespace, is_deleting(namespace) and FINALIZER in finalizers)


def plan_conditions(contents: Contents, now: str) -> list[Obj]:
    """The five conditions that say what blocks; upstream's types, reasons and messages."""
    remaining = ", ".join(
        f"{name} has {count} resource instances"
        for name, count in sorted(contents.remaining.items())
    )
    finalizers = ", ".join(
        f"{name} in {count} resource instances"
        for name, count in sorted(contents.finalizers.items())
    )
    return [
        _condition(
            "NamespaceDeletionDiscoveryFailure",
            "",
            ("ResourcesDiscovered", "All resources successfully discovered"),
            now,
        ),
        _condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            "",
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
            now,
        ),
        _condition(
            "NamespaceDeletionContentFailure",
            _failure_text(contents.failures),
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
            now,
            bad_reason="ContentDeletionFailed",
        ),
        _condition(
            "NamespaceContentRemaining",
            f"Some resources are remaining: {remaining}" if remaining else "",
            ("ContentRemoved", "All content successfully removed"),
            now,
            bad_reason="SomeResourcesRemain",
        ),
        _condition(
            "NamespaceFinalizersRemaining",
            f"Some content in the namespace has finalizers remaining: {finalizers}"
            if finalizers
            else "",
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
            now,
            bad_reason="SomeFinalizersRemain",
        ),
    ]


def _failure_text(failures: Sequence[str]) -> str:
    if not failures:
        return ""
    return (
        "Failed to delete all resource types, "
        + f"{len(failures)} remaining: "
        + ", ".join(failures)
    )


def _condition(
    type_: str, problem: str, good: tuple[str, str], now: str, *, bad_reason: str = ""
) -> Obj:
    reason, message = good
    return {
        "type": type_,
        "status": "True" if problem else "False",
        "lastTransitionTime": now,
        "reason": bad_reason if problem else reason,
        "message": problem or message,
    }


def merge_conditions(current: Sequence[Mapping[str, object]], wanted: Sequence[Obj]) -> list[Obj]:
    """Keep the time of a condition whose status stays, and conditions that are not ours."""
    by_type = {str(c["type"]): c for c in current}
    merged = []
    for condition in wanted:
        old = by_type.pop(condition["type"], None)
        if old is not None and old["status"] == condition["status"]:
            condition = condition | {"lastTransitionTime": old["lastTransitionTime"]}
        merged.append(condition)
    return [*(dict(c) for c in by_type.values()), *merged]


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None or not seen.finalizing:
        return DONE
    contents = await _empty(key.name, env)
    if contents.is_empty:
        await _finalize(seen.namespace, env)
        return DONE
    await _report(seen.namespace, contents, env)
    return after(LOOK_AGAIN_SECONDS)


async def _empty(namespace: str, env: Env) -> Contents:
    """Delete everything there is, and see what is left.

    All else stays until the last pod has gone: what a policy or a secret keeps a running pod from,
    or gives it, must not change while it runs.
    """
    contents = Contents()
    resources = {
        r.name for r in env.client.resources if r.namespaced and {"list", "delete"} <= set(r.verbs)
    }
    await _attempt(namespace, "pods", env, contents)
    if contents.is_empty:
        for name in sorted(resources - {"pods"}):
            await _attempt(namespace, name, env, contents)
    return contents


async def _attempt(namespace: str, name: str, env: Env, contents: Contents) -> None:
    try:
        await _empty_resource(namespace, name, env, contents)
    except (errors.NotFound, errors.MethodNotAllowed):
        return  # the resource is no longer served
    except errors.ApiError as error:
        contents.failures.append(str(error))


async def _empty_resource(namespace: str, name: str, env: Env, contents: Contents) -> None:
    found = await env.client.list(name, namespace=namespace)
    if not found.items:
        return
    resource = env.client.resources.named(name)
    if resource is not None and "deletecollection" in resource.verbs:
        await env.client.delete_collection(name, namespace=namespace)
    else:
        for item in found.items:
            with contextlib.suppress(errors.NotFound):
                await env.client.delete(name, name_of(item.obj), namespace=namespace)
    left = (await env.client.list(name, namespace=namespace)).items
    if left:
        contents.remaining[_shown(name)] = len(left)
    for item in left:
        for finalizer in finalizers_of(item.obj):
            contents.finalizers[finalizer] = contents.finalizers.get(finalizer, 0) + 1


def _shown(name: str) -> str:
    """Upstream ends the core group's resources with a dot: ``pods.``."""
    return name if "." in name else f"{name}."


async def _finalize(namespace: Obj, env: Env) -> None:
    changed = deep_copy(namespace)
    changed["spec"]["finalizers"] = [f for f in changed["spec"]["finalizers"] if f != FINALIZER]
    try:
        await env.client.update("namespaces", changed, subresource="finalize")
    except errors.NotFound:
        return


async def _report(namespace: Obj, contents: Contents, env: Env) -> None:
    current = (namespace.get("status") or {}).get("conditions") or []
    wanted = merge_conditions(current, plan_conditions(contents, format_time(env.clock.now())))
    if wanted == current:
        return
    changed = deep_copy(namespace)
    changed.setdefault("status", {})["conditions"] = wanted
    await env.client.update("namespaces", changed, subresource="status")
