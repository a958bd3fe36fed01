"""``pods/binding`` and ``bindings``: put a pod on a node, once.

Source of semantics: ``pkg/registry/core/pod/storage`` (BindingREST).
"""

from dataclasses import replace

from sagong.api import errors
from sagong.api.call import Answer, Call, Preconditions
from sagong.api.types import Obj, User
from sagong.core.clock import format_time
from sagong.server.handlers import Context
from sagong.server.subresources.answers import done


async def bind(call: Call, user: User, context: Context) -> Answer:
    """Create a Binding. Raises Conflict if the pod has a node, is gone or gated."""
    binding = call.body
    metadata = binding.get("metadata") or {}
    name = call.name or metadata.get("name", "")
    if metadata.get("name") not in (None, "", name):
        raise errors.BadRequest("name in URL does not match name in Binding object")
    target = binding.get("target") or {}
    _check_target(name, target)

    def change(pod: Obj) -> Obj:
        _check_pod(pod, target["name"])
        return _bound(pod, metadata, target["name"], format_time(context.clock.now()))

    uid = metadata.get("uid") or None
    options = replace(
        call.options,
        preconditions=Preconditions(uid, metadata.get("resourceVersion") or None),
    )
    await context.storage.modify(
        replace(call, name=name, options=options), user, change, subresource="binding"
    )
    return done()


def _check_target(name: str, target: Obj) -> None:
    causes = []
    if target.get("kind") not in (None, "", "Node"):
        causes.append(
            {
                "reason": "FieldValueNotSupported",
                "message": f'Unsupported value: "{target["kind"]}": supported values: '
                '"Node", "<empty>"',
                "field": "target.kind",
            }
        )
    if not target.get("name"):
        causes.append(
            {
                "reason": "FieldValueRequired",
                "message": "Required value",
                "field": "target.name",
            }
        )
    if causes:
        raise errors.invalid("", "Binding", name, causes)


def _check_pod(pod: Obj, node: str) -> None:
    name = pod["metadata"]["name"]

    def refuse(why: str) -> errors.Conflict:
        return errors.conflict("", "pods/binding", name, why)

    if pod["metadata"].get("deletionTimestamp"):
        raise refuse(f"pod {name} is being deleted, cannot be assigned to a host")
    if current := pod["spec"].get("nodeName"):
        raise refuse(f'pod {name} is already assigned to node "{current}"')
    if pod["spec"].get("schedulingGates"):
        raise refuse(f"pod {name} has non-empty .spec.schedulingGates")


def _bound(pod: Obj, binding: Obj, node: str, now: str) -> Obj:
    """The pod on its node; all that does not change is the same object as before.

    ``binding`` is the Binding's metadata.
    """
    metadata = dict(pod["metadata"])
    for field in ("annotations", "labels"):
        if binding.get(field):
            metadata[field] = {**(metadata.get(field) or {}), **binding[field]}
    spec = {**pod["spec"], "nodeName": node}
    return {**pod, "metadata": metadata, "spec": spec, "status": _scheduled(pod, now)}


def _scheduled(pod: Obj, now: str) -> Obj:
    """The status of a pod that has a node."""
    status = pod.get("status") or {}
    others = [c for c in status.get("conditions") or [] if c.get("type") != "PodScheduled"]
    condition: Obj = {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": now,
    }
    if pod["metadata"].get("generation"):
        condition["observedGeneration"] = pod["metadata"]["generation"]
    return {**status, "conditions": [*others, condition]}
