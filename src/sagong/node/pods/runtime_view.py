"""What the runtime has, pod by pod: kept up to date by listing, detailed only where it changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeNotFound
from sagong.node.pods import labels
from sagong.node.pods.model import RunState, SeenContainer, SeenPod, SeenSandbox
from sagong.node.pods.termination_message import read_termination_message

_NANO = 1e9
_SANDBOX_READY = 0


@dataclass(slots=True)
class _Entry:
    """One pod as last listed, with the details of each part by id."""

    uid: str
    name: str = ""
    namespace: str = ""
    grace_seconds: int = 30
    sandboxes: dict[str, SeenSandbox] = field(default_factory=dict)
    containers: dict[str, SeenContainer] = field(default_factory=dict)


class RuntimeView:
    """Listing costs two calls whatever the number of pods; a change costs one more each."""

    def __init__(self, cri: CriClient) -> None:
        self._cri = cri
        self._pods: dict[str, _Entry] = {}

    def uids(self) -> Sequence[str]:
        return list(self._pods)

    def pod(self, uid: str) -> SeenPod:
        """The pod as last seen; an empty one if the runtime has nothing of it."""
        entry = self._pods.get(uid)
        if entry is None:
            return SeenPod(uid, "", "")
        newest_first = {"key": lambda part: part.created_at, "reverse": True}
        return SeenPod(
            uid=uid,
            name=entry.name,
            namespace=entry.namespace,
            sandboxes=tuple(sorted(entry.sandboxes.values(), **newest_first)),  # type: ignore[call-overload]
            containers=tuple(sorted(entry.containers.values(), **newest_first)),  # type: ignore[call-overload]
            grace_seconds=entry.grace_seconds,
        )

    async def relist(self) -> frozenset[str]:
        """Look at everything; the uids of pods in which something changed."""
        sandboxes = await self._cri.list_sandboxes()
        containers = await self._cri.list_containers()
        uids = {part.labels.get(labels.POD_UID, "") for part in (*sandboxes, *containers)}
        changed = set()
        for uid in (uids | set(self._pods)) - {""}:
            own_sandboxes = [s for s in sandboxes if s.labels.get(labels.POD_UID) == uid]
            own_containers = [c for c in containers if c.labels.get(labels.POD_UID) == uid]
            if await self._update(uid, own_sandboxes, own_containers):
                changed.add(uid)
        return frozenset(changed)

    async def refresh(self, uid: str) -> SeenPod:
        """Look at one pod now."""
        selector = {labels.POD_UID: uid}
        sandboxes = await self._cri.call("ListPodSandbox", filter={"label_selector": selector})
        containers = await self._cri.call("ListContainers", filter={"label_selector": selector})
        await self._update(uid, sandboxes.items, containers.containers)
        return self.pod(uid)

    async def _update(self, uid: str, sandboxes: Iterable[Any], containers: Iterable[Any]) -> bool:
        before = self._pods.get(uid)
        entry = _Entry(uid)
        for sandbox in sandboxes:
            entry.name, entry.namespace = sandbox.metadata.name, sandbox.metadata.namespace
            entry.grace_seconds = int(sandbox.annotations.get(labels.POD_GRACE) or 30)
            known = before.sandboxes.get(sandbox.id) if before else None
            if known is None or known.ready != (sandbox.state == _SANDBOX_READY):
                known = await self._sandbox(sandbox)
            if known is not None:
                entry.sandboxes[sandbox.id] = known
        for container in containers:
            seen = before.containers.get(container.id) if before else None
            if seen is None or seen.state.value != container.state:
                seen = await self._container(container)
            if seen is not None:
                entry.containers[container.id] = seen
                entry.name = entry.name or container.labels.get(labels.POD_NAME, "")
                entry.namespace = entry.namespace or container.labels.get(labels.POD_NAMESPACE, "")
        if entry.sandboxes or entry.containers:
            self._pods[uid] = entry
        else:
            self._pods.pop(uid, None)
        old = (before.sandboxes, before.containers) if before else ({}, {})
        return (entry.sandboxes, entry.containers) != old

    async def _sandbox(self, listed: Any) -> SeenSandbox | None:
        try:
            status = await self._cri.sandbox_status(listed.id)
        except RuntimeNotFound:
            return None
        first = [status.network.ip] if status.network.ip else []
        return SeenSandbox(
            id=listed.id,
            attempt=listed.metadata.attempt,
            ready=status.state == _SANDBOX_READY,
            created_at=status.created_at / _NANO,
            ips=(*first, *(ip.ip for ip in status.network.additional_ips)),
        )

    async def _container(self, listed: Any) -> SeenContainer | None:
        try:
            status = await self._cri.container_status(listed.id)
        except RuntimeNotFound:
            return None
        state = RunState(status.state)
        annotations = status.annotations
        return SeenContainer(
            id=status.id,
            name=status.labels.get(labels.CONTAINER_NAME) or status.metadata.name,
            sandbox_id=listed.pod_sandbox_id,
            attempt=int(annotations.get(labels.RESTART_COUNT) or status.metadata.attempt),
            state=state,
            created_at=status.created_at / _NANO,
            image=status.image.image,
            image_ref=status.image_ref,
            started_at=status.started_at / _NANO,
            finished_at=status.finished_at / _NANO,
            exit_code=status.exit_code,
            reason=status.reason,
            message=_message(status) if state is RunState.EXITED else "",
            spec_hash=annotations.get(labels.CONTAINER_HASH, ""),
            log_path=status.log_path,
        )


def _message(status: Any) -> str:
    """What the container left at its termination path, else the runtime's own message."""
    wanted = status.annotations.get(labels.TERMINATION_PATH, "")
    host_path = next((m.host_path for m in status.mounts if m.container_path == wanted), None)
    written = read_termination_message(
        Path(host_path) if host_path else None,
        Path(status.log_path) if status.log_path else None,
        policy=status.annotations.get(labels.TERMINATION_POLICY, ""),
        failed=status.exit_code != 0,
    )
    return written or str(status.message)
