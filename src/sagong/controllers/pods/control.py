"""Creating and deleting pods with the events upstream records (``RealPodControl``)."""

from collections.abc import Sequence
from functools import partial

from sagong.api.errors import ApiError, Conflict, NotFound
from sagong.api.meta import name_of, namespace_of, uid_of
from sagong.api.types import Obj
from sagong.ctl.controller import Env
from sagong.ctl.ownership import Started, slow_start

# Creations or deletions of one reconcile: bounds how far a wrong decision can go unseen.
BURST_PODS = 500


def namespace_is_terminating(error: ApiError) -> bool:
    """Nothing can be created there any more; not worth an event or a retry."""
    return any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes)


async def create_pod(env: Env, owner: Obj, pod: Obj) -> Obj:
    """Create, and say so. Raises ApiError."""
    try:
        created = await env.client.create("pods", pod, namespace=namespace_of(owner))
    except ApiError as error:
        if not namespace_is_terminating(error):
            env.events.emit(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
        raise
    env.events.emit(owner, "Normal", "SuccessfulCreate", f"Created pod: {name_of(created)}")
    return created


async def create_pods(env: Env, owner: Obj, pods: Sequence[Obj]) -> Started:
    """Create in batches that double; stops at the first failure."""
    return await slow_start([partial(create_pod, env, owner, pod) for pod in pods])


async def delete_pod(env: Env, owner: Obj, pod: Obj) -> None:
    """Delete this very pod, and say so; that it is gone already is no failure. Raises ApiError."""
    name = name_of(pod)
    try:
        await env.client.delete("pods", name, namespace=namespace_of(pod), uid=uid_of(pod))
    except (NotFound, Conflict):
        return
    except ApiError as error:
        env.events.emit(owner, "Warning", "FailedDelete", f"Error deleting: {error.message}")
        raise
    env.events.emit(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")


async def delete_pods(env: Env, owner: Obj, pods: Sequence[Obj]) -> ApiError | None:
    """Delete all of them at once; the first failure, if any."""
    actions = [partial(delete_pod, env, owner, pod) for pod in pods]
    return (await slow_start(actions, first=max(1, len(actions)))).failure
