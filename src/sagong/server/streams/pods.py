"""Which pod and container a stream is for, refused as in upstream's ``pod/strategy.go``."""

from collections.abc import Sequence
from dataclasses import replace

from sagong.api.call import Call, Single, Verb
from sagong.api.errors import BadRequest
from sagong.api.types import Obj, User
from sagong.server.handlers import Storage

# The order in which upstream visits and lists them.
_LISTS = ("initContainers", "containers", "ephemeralContainers")


async def pod_of(storage: Storage, call: Call, user: User) -> Obj:
    """The pod that a call names. Raises NotFound."""
    plain = Call(Verb.GET, call.resource, namespace=call.namespace, name=call.name)
    answer = await storage.execute(replace(plain, user_agent=call.user_agent), user)
    assert isinstance(answer, Single)
    return answer.obj


def container_of(pod: Obj, wanted: str) -> str:
    """The container that is meant. Raises BadRequest."""
    name = pod["metadata"]["name"]
    names = _names(pod)
    if wanted:
        if wanted not in names:
            raise BadRequest(f"container {wanted} is not valid for pod {name}")
        return wanted
    containers = pod["spec"].get("containers") or []
    if len(containers) == 1:
        return str(containers[0]["name"])
    if not containers:
        raise BadRequest(f"a container name must be specified for pod {name}")
    raise BadRequest(
        f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
    )


def node_of(pod: Obj) -> str:
    """The pod's node. Raises BadRequest if it has none yet."""
    node = pod["spec"].get("nodeName")
    if not node:
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    return str(node)


def _names(pod: Obj) -> Sequence[str]:
    return [c["name"] for key in _LISTS for c in pod["spec"].get(key) or ()]
