"""``pods/ephemeralcontainers`` and ``pods/resize``: the parts of a running pod that may change."""

from collections.abc import Callable
from dataclasses import replace

from sagong.api import errors
from sagong.api.call import Answer, Call, Preconditions, Verb
from sagong.api.meta import deep_copy
from sagong.api.schema import Node
from sagong.api.types import Obj, User
from sagong.api.validation import ErrorList
from sagong.server.handlers import Context, Handler
from sagong.server.kinds.core.pod import STRATEGY
from sagong.server.kinds.core.pod_update import validate_ephemeral_update, validate_resize
from sagong.server.registry.patch_kinds import patched

# Takes over from (wanted) what the subresource may change into (pod).
_Take = Callable[[Obj, Obj], None]
_Validate = Callable[[Obj, Obj, ErrorList], None]


def _handler(subresource: str, take: _Take, validate: _Validate, node: Node | None) -> Handler:
    async def handle(call: Call, user: User, context: Context) -> Answer:
        if call.verb is Verb.GET:
            return await context.storage.execute(replace(call, subresource=""), user)
        body = call.body if isinstance(call.body, dict) else {}
        metadata = body.get("metadata") or {}
        wanted = Preconditions(metadata.get("uid") or None, metadata.get("resourceVersion") or None)

        def change(pod: Obj) -> Obj:
            old = deep_copy(pod)
            asked = (
                deep_copy(patched(pod, call, node))
                if call.verb is Verb.PATCH
                else deep_copy(call.body)
            )
            take(asked, pod)
            STRATEGY.default(pod)
            found = ErrorList()
            validate(pod, old, found)
            if found:
                raise errors.invalid("", "Pod", call.name, found)
            return pod

        options = replace(call.options, preconditions=wanted)
        return await context.storage.modify(
            replace(call, options=options), user, change, subresource=subresource
        )

    return handle


def _take_ephemeral(wanted: Obj, pod: Obj) -> None:
    containers = (wanted.get("spec") or {}).get("ephemeralContainers")
    if containers is None:
        pod["spec"].pop("ephemeralContainers", None)
    else:
        pod["spec"]["ephemeralContainers"] = containers


def _take_resources(wanted: Obj, pod: Obj) -> None:
    pod["spec"] = {**deep_copy(wanted.get("spec") or {}), "nodeName": pod["spec"].get("nodeName")}
    if pod["spec"]["nodeName"] is None:
        del pod["spec"]["nodeName"]


def ephemeral_containers(node: Node | None) -> Handler:
    """The handler; ``node`` is the schema of Pod."""
    return _handler("ephemeralcontainers", _take_ephemeral, validate_ephemeral_update, node)


def resize(node: Node | None) -> Handler:
    """The handler; ``node`` is the schema of Pod."""
    return _handler("resize", _take_resources, validate_resize, node)
