"""``scale`` of workloads: read and change spec.replicas through ``autoscaling/v1 Scale``."""

from collections.abc import Callable
from dataclasses import replace

from sagong.api import errors
from sagong.api.call import Answer, Call, Preconditions, Single, Verb
from sagong.api.meta import deep_copy
from sagong.api.schema import Node
from sagong.api.selectors import selector_from_labels, selector_from_object
from sagong.api.types import Encoded, Obj, User
from sagong.server.handlers import Context, Facet, Handler
from sagong.server.registry.patch_kinds import patched

SCALABLE = (
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "replicationcontrollers",
)


def scale_handler(node: Node | None) -> Handler:
    """The handler; ``node`` is the schema of Scale."""

    async def handle(call: Call, user: User, context: Context) -> Answer:
        return await scale(call, user, context, node)

    return handle


async def scale(call: Call, user: User, context: Context, node: Node | None) -> Answer:
    """Get, update or patch a scale. Raises NotFound, Conflict, Invalid."""
    if call.verb is Verb.GET:
        parent = replace(call, subresource="")
        answer = await context.storage.execute(parent, user)
        assert isinstance(answer, Single)
        return Single(Encoded(scale_of(answer.obj)))
    preconditions = _preconditions(call)
    options = replace(call.options, preconditions=preconditions)
    answer = await context.storage.modify(
        replace(call, options=options),
        user,
        _change(call, node),
        subresource="scale",
        facet=Facet(scale_of, _take),
    )
    assert isinstance(answer, Single)
    return Single(Encoded(scale_of(answer.obj)), answer.code, answer.warnings)


def _preconditions(call: Call) -> Preconditions:
    body = call.body if isinstance(call.body, dict) else {}
    metadata = body.get("metadata") or {}
    return Preconditions(metadata.get("uid") or None, metadata.get("resourceVersion") or None)


def _change(call: Call, node: Node | None) -> Callable[[Obj], Obj]:
    def change(parent: Obj) -> Obj:
        if call.verb is Verb.PATCH:
            wanted = patched(scale_of(parent), call, node)
        else:
            wanted = deep_copy(call.body)
        replicas = (wanted.get("spec") or {}).get("replicas") or 0
        _check(parent, wanted, replicas)
        parent["spec"]["replicas"] = replicas
        return parent

    return change


def _take(parent: Obj, scale: Obj) -> None:
    """What admission made of the scale."""
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    check_replicas(parent, replicas)
    parent["spec"]["replicas"] = replicas


def _check(parent: Obj, wanted: Obj, replicas: object) -> None:
    name = parent["metadata"]["name"]
    if (wanted.get("metadata") or {}).get("name", name) != name:
        raise errors.BadRequest(
            f"the name of the object ({wanted['metadata']['name']}) does not match the name on the "
            f"URL ({name})"
        )
    check_replicas(parent, replicas)


def check_replicas(parent: Obj, replicas: object) -> None:
    """Raises BadRequest for what is no number, Invalid for a negative one."""
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise errors.BadRequest(
            'Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal into Go '
            "struct field ScaleSpec.spec.replicas of type int32"
        )
    if replicas < 0:
        cause = {
            "reason": "FieldValueInvalid",
            "message": f"Invalid value: {replicas}: must be greater than or equal to 0",
            "field": "spec.replicas",
        }
        raise errors.invalid("autoscaling", "Scale", parent["metadata"]["name"], [cause])


def scale_of(parent: Obj) -> Obj:
    """The Scale of a workload."""
    metadata = parent["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    spec, status = parent.get("spec") or {}, parent.get("status") or {}
    found: Obj = {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: metadata[field] for field in kept if field in metadata},
        "spec": {},
        "status": {"replicas": status.get("replicas", 0)},
    }
    if spec.get("replicas"):
        found["spec"]["replicas"] = spec["replicas"]
    if selector := _selector(parent):
        found["status"]["selector"] = selector
    return found


def _selector(parent: Obj) -> str:
    selector = parent["spec"].get("selector")
    if parent["kind"] == "ReplicationController":
        return str(selector_from_labels(selector))
    return str(selector_from_object(selector))
