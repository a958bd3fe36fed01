"""The scale subresource of custom resources: paths of the definition instead of known fields.

Source of semantics: apiextensions' ``registry/customresource/etcd.go``.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sagong.api import errors
from sagong.api.call import Answer, Call, Preconditions, Single, Verb
from sagong.api.meta import deep_copy
from sagong.api.schema import Node
from sagong.api.types import Encoded, Obj, Resource, User
from sagong.api.validation import ErrorList, Path
from sagong.server.handlers import Context, Facet
from sagong.server.registry.patch_kinds import patched
from sagong.server.subresources.scale import check_replicas

REPLICAS_MAX = 2**31 - 1
# The ``subresources.scale`` of a served version.
ScaleOf = Callable[[Resource], Mapping[str, Any] | None]


def validate_scale(obj: Obj, scale: Mapping[str, Any] | None, errors_: ErrorList) -> None:
    """The counts that the paths name must be counts."""
    if scale is None:
        return
    for field in ("specReplicasPath", "statusReplicasPath"):
        value, where = _at(obj, scale[field]), Path(scale[field].removeprefix("."))
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            text = f"{scale[field]} accessor error: {value} is of the type {type(value).__name__}, "
            errors_.invalid(where, 0, text + "expected int64")
        elif value < 0:
            errors_.invalid(where, value, "should be a non-negative integer")
        elif value > REPLICAS_MAX:
            errors_.invalid(where, value, f"should be less than or equal to {REPLICAS_MAX}")


class CustomScale:
    """The handler of ``scale`` for every custom resource that has it."""

    def __init__(self, scale_of: ScaleOf, node: Node | None) -> None:
        self._scale_of = scale_of
        self._node = node

    async def handle(self, call: Call, user: User, context: Context) -> Answer:
        """Get, update or patch a scale. Raises NotFound, Conflict, Invalid, InternalError."""
        paths = self._scale_of(call.resource)
        if paths is None:
            raise errors.unknown_resource()
        if call.verb is Verb.GET:
            answer = await context.storage.execute(replace(call, subresource=""), user)
        else:
            options = replace(call.options, preconditions=_preconditions(call))
            changed = replace(call, options=options)
            answer = await context.storage.modify(
                changed,
                user,
                self._change(call, paths),
                subresource="scale",
                facet=_facet(paths),
            )
        assert isinstance(answer, Single)
        return Single(Encoded(scale_of(answer.obj, paths)), answer.code, answer.warnings)

    def _change(self, call: Call, paths: Mapping[str, Any]) -> Callable[[Obj], Obj]:
        def change(parent: Obj) -> Obj:
            if call.verb is Verb.PATCH:
                wanted = patched(scale_of(parent, paths), call, self._node)
            else:
                wanted = deep_copy(call.body)
            replicas = (wanted.get("spec") or {}).get("replicas") or 0
            check_replicas(parent, replicas)
            _put(parent, paths["specReplicasPath"], replicas)
            return parent

        return change


def _facet(paths: Mapping[str, Any]) -> Facet:
    """The Scale of an object, as admission sees it."""

    def take(parent: Obj, scale: Obj) -> None:
        replicas = (scale.get("spec") or {}).get("replicas") or 0
        check_replicas(parent, replicas)
        _put(parent, paths["specReplicasPath"], replicas)

    return Facet(lambda parent: scale_of(parent, paths), take)


def _preconditions(call: Call) -> Preconditions:
    body = call.body if isinstance(call.body, dict) else {}
    metadata = body.get("metadata") or {}
    return Preconditions(metadata.get("uid") or None, metadata.get("resourceVersion") or None)


def scale_of(parent: Obj, paths: Mapping[str, Any]) -> Obj:
    """The Scale of an object. Raises InternalError where the count is not set."""
    replicas = _at(parent, paths["specReplicasPath"])
    if replicas is None:
        path = paths["specReplicasPath"]
        message = f'Internal error occurred: the spec replicas field "{path}" does not exist'
        raise errors.InternalError(message)
    metadata = parent["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    found: Obj = {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: metadata[field] for field in kept if field in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {"replicas": _at(parent, paths["statusReplicasPath"]) or 0},
    }
    selector = _at(parent, paths.get("labelSelectorPath") or "")
    if selector:
        found["status"]["selector"] = selector
    return found


def _at(obj: Obj, path: str) -> Any:
    value: Any = obj if path else None
    for name in path.removeprefix(".").split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _put(obj: Obj, path: str, value: int) -> None:
    *parents, last = path.removeprefix(".").split(".")
    for name in parents:
        obj = obj.setdefault(name, {})
    obj[last] = value
