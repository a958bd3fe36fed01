"""Which pod, container and runtime container a request means, or why there is none."""

from dataclasses import dataclass

from sagong.api.types import Obj
from sagong.node.agent import NodeAgent
from sagong.node.pods.model import RunState, SeenContainer, SeenPod
from sagong.node.server.refusals import Refusal

_STATUS_LISTS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_SPEC_LISTS = ("containers", "initContainers", "ephemeralContainers")


@dataclass(frozen=True, slots=True)
class Pods:
    """Looks pods up as the agent knows them."""

    agent: NodeAgent

    def find(self, namespace: str, name: str, uid: str = "") -> Obj | None:
        """The pod; of several with one name (the older is ending) the newest."""
        found = [
            pod
            for pod in self.agent.pods()
            if pod["metadata"]["name"] == name
            and pod["metadata"]["namespace"] == namespace
            and uid in ("", pod["metadata"]["uid"])
        ]
        found.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
        return found[-1] if found else None

    def seen(self, pod: Obj) -> SeenPod:
        return self.agent.view.pod(pod["metadata"]["uid"])

    def running_container(self, pod: Obj, name: str) -> SeenContainer:
        """Raises Refusal if no such container runs."""
        for container in self.seen(pod).running:
            if container.name == name:
                return container
        raise Refusal(500, f'container not found ("{name}")')

    def is_running(self, uid: str, container_id: str) -> bool:
        return any(c.id == container_id for c in self.agent.view.pod(uid).running)


def has_container(pod: Obj, name: str) -> bool:
    return any(c["name"] == name for key in _SPEC_LISTS for c in pod["spec"].get(key) or ())


def container_status(pod: Obj, name: str) -> Obj:
    """The status in the API, {} if there is none yet."""
    status = pod.get("status") or {}
    for key in _STATUS_LISTS:
        for found in status.get(key) or ():
            if found["name"] == name:
                return dict(found)
    return {}


def logged_container(pod: Obj, seen: SeenPod, name: str, *, previous: bool) -> SeenContainer:
    """The container whose log is meant. Raises Refusal as ``validateContainerLogStatus``."""
    attempts = seen.attempts(name)
    waiting = (container_status(pod, name).get("state") or {}).get("waiting") or {}
    subject = f'container "{name}" in pod "{pod["metadata"]["name"]}"'
    if previous:
        # While it waits to be started again, the attempt that ended last is the previous one.
        is_back_off = bool(waiting) and bool(attempts) and attempts[0].state is RunState.EXITED
        earlier = attempts if is_back_off else attempts[1:]
        if not earlier:
            raise Refusal(400, f"previous terminated {subject} not found")
        return earlier[0]
    for container in attempts:
        if container.state is not RunState.CREATED:
            return container
    reason = waiting.get("reason", "")
    if reason == "ErrImagePull":
        raise Refusal(400, f"{subject} is waiting to start: image can't be pulled")
    if reason == "ImagePullBackOff":
        raise Refusal(400, f"{subject} is waiting to start: trying and failing to pull image")
    if reason:
        raise Refusal(400, f"{subject} is waiting to start: {reason}")
    if container_status(pod, name):
        raise Refusal(400, f"{subject} is waiting to start - no logs yet")
    raise Refusal(400, f"{subject} is not available")
