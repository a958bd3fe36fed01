"""What the runtime has, pod by pod: kept up to date by events and own deeds, checked by listing.

A worker notes what it has made or stopped, the runtime's events say what has ended; each costs one
status call. Listing everything is two calls whatever the number of pods, and rare.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeNotFound
from sagong.node.pods import labels
from sagong.node.pods.model import RunState, SeenContainer, SeenPod, SeenSandbox
from sagong.node.pods.termination_message import read_termination_message

_NANO = 1e9
_SANDBOX_READY = 0
FORGOTTEN_MAX = 1024  # ids of removed parts; only a look under way needs one
_LOOKS_MAX = 5  # at a pod that changes while it is looked at


@dataclass(slots=True)
class _Entry:
    """One pod as last seen, with the details of each part by id."""

    uid: str
    name: str = ""
    namespace: str = ""
    grace_seconds: int = 30
    sandboxes: dict[str, SeenSandbox] = field(default_factory=dict)
    containers: dict[str, SeenContainer] = field(default_factory=dict)


class RuntimeView:
    """One an agent. Whatever awaits the runtime may be overtaken by a newer look at the same pod:
    the older one is then dropped. A listing is older if the pod was looked at since it began
    (``_versions``); of two looks at one part the one that shows its end is the newer, as nothing
    that has ended lives again; and what was removed is not seen again (``_forgotten``)."""

    def __init__(self, cri: CriClient) -> None:
        self._cri = cri
        self._pods: dict[str, _Entry] = {}
        self._versions: dict[str, int] = {}
        self._version = 0
        self._forgotten: dict[str, None] = {}
        self._stopped: set[str] = set()

    def uids(self) -> Sequence[str]:
        return list(self._pods)

    def pod(self, uid: str) -> SeenPod:
        """The pod as last seen; an empty one if the runtime has nothing of it."""
        entry = self._pods.get(uid)
        if entry is None:
            return SeenPod(uid, "", "")
        newest_first = {"key": lambda part: part.created_at, "reverse": True}
        sandboxes = [replace(s, stopped=s.id in self._stopped) for s in entry.sandboxes.values()]
        return SeenPod(
            uid=uid,
            name=entry.name,
            namespace=entry.namespace,
            sandboxes=tuple(sorted(sandboxes, **newest_first)),  # type: ignore[call-overload]
            containers=tuple(sorted(entry.containers.values(), **newest_first)),  # type: ignore[call-overload]
            grace_seconds=entry.grace_seconds,
        )

    def owner_of(self, part_id: str) -> str | None:
        """The uid of the pod whose sandbox or container this is."""
        for uid, entry in self._pods.items():
            if part_id in entry.containers or part_id in entry.sandboxes:
                return uid
        return None

    async def relist(self) -> frozenset[str]:
        """Look at everything; the uids of pods in which something changed."""
        began = self._version
        sandboxes = _by_uid(await self._cri.list_sandboxes())
        containers = _by_uid(await self._cri.list_containers())
        changed = set()
        for uid in {*sandboxes, *containers, *self._pods} - {""}:
            if self._versions.get(uid, 0) > began:
                # Seen anew while the listing was under way, which may be older.
                before = self.pod(uid)
                if await self.refresh(uid) != before:
                    changed.add(uid)
            elif await self._update(uid, sandboxes.get(uid, ()), containers.get(uid, ())):
                changed.add(uid)
        return frozenset(changed)

    async def refresh(self, uid: str) -> SeenPod:
        """List one pod's parts now: what a failed or interrupted deed has left is unknown."""
        selector = {labels.POD_UID: uid}
        for _ in range(_LOOKS_MAX):
            began = self._version
            sandboxes = await self._cri.call("ListPodSandbox", filter={"label_selector": selector})
            containers = await self._cri.call("ListContainers", filter={"label_selector": selector})
            if self._versions.get(uid, 0) <= began:
                await self._update(uid, sandboxes.items, containers.containers)
                break
        return self.pod(uid)

    async def look_again(self, uid: str) -> SeenPod:
        """Look at those parts of a pod that were last seen alive; nothing new is looked for."""
        before = self._pods.get(uid)
        if before is None:
            return self.pod(uid)
        for container in tuple(before.containers.values()):
            if container.state is not RunState.EXITED:
                await self.note_container(uid, container.id, container.sandbox_id)
        for sandbox in tuple(before.sandboxes.values()):
            if sandbox.ready:
                await self.note_sandbox(uid, sandbox.id)
        return self.pod(uid)

    async def look_for_end(self, uid: str, part_id: str) -> bool:
        """Look at one sandbox or container of a pod; whether it has ended."""
        container = self._container_of(uid, part_id)
        if container is not None:
            await self.note_container(uid, part_id, container.sandbox_id)
            container = self._container_of(uid, part_id)
            return container is None or container.state is RunState.EXITED
        await self.note_sandbox(uid, part_id)
        return not any(s.id == part_id and s.ready for s in self.pod(uid).sandboxes)

    def _container_of(self, uid: str, container_id: str) -> SeenContainer | None:
        entry = self._pods.get(uid)
        return entry.containers.get(container_id) if entry is not None else None

    async def note_sandbox(self, uid: str, sandbox_id: str) -> None:
        """A sandbox of the pod was made, or has changed."""
        try:
            status = await self._cri.sandbox_status(sandbox_id)
        except RuntimeNotFound:
            self.forget(uid, (sandbox_id,))
            return
        seen = _seen_sandbox(status)
        if sandbox_id in self._forgotten:
            return
        entry = self._entry(uid)
        entry.name, entry.namespace = status.metadata.name, status.metadata.namespace
        entry.grace_seconds = int(status.annotations.get(labels.POD_GRACE) or 30)
        known = entry.sandboxes.get(sandbox_id)
        if known is None or known.ready or not seen.ready:
            entry.sandboxes[sandbox_id] = seen

    async def note_container(self, uid: str, container_id: str, sandbox_id: str) -> None:
        """A container of the pod was made in this sandbox, or has changed."""
        try:
            status = await self._cri.container_status(container_id)
        except RuntimeNotFound:
            self.forget(uid, (container_id,))
            return
        seen = _seen_container(status, sandbox_id)
        if container_id in self._forgotten:
            return
        containers = self._entry(uid).containers
        known = containers.get(container_id)
        if known is None or known.state is not RunState.EXITED or seen.state is RunState.EXITED:
            containers[container_id] = seen

    def note_stopped(self, sandboxes: Iterable[str]) -> None:
        """These sandboxes were stopped, their networks taken down."""
        self._stopped.update(sandboxes)

    def forget(self, uid: str, parts: Iterable[str] | None = None) -> None:
        """Some parts of a pod were removed, or (None) all that there was."""
        entry = self._entry(uid)
        for part in tuple(parts) if parts is not None else (*entry.sandboxes, *entry.containers):
            self._forgotten[part] = None
            if len(self._forgotten) > FORGOTTEN_MAX:
                del self._forgotten[next(iter(self._forgotten))]
            self._stopped.discard(part)
            entry.sandboxes.pop(part, None)
            entry.containers.pop(part, None)
        if not entry.sandboxes and not entry.containers:
            self._pods.pop(uid, None)
            self._versions.pop(uid, None)

    def _entry(self, uid: str) -> _Entry:
        """The entry, to be changed at once: what is being listed is older from now on."""
        self._version += 1
        self._versions[uid] = self._version
        return self._pods.setdefault(uid, _Entry(uid))

    async def _update(self, uid: str, sandboxes: Iterable[Any], containers: Iterable[Any]) -> bool:
        """Take a listing over; False too if the pod was looked at anew meanwhile."""
        before, began = self._pods.get(uid), self._version
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
        if self._versions.get(uid, 0) > began:
            return False
        if entry.sandboxes or entry.containers:
            self._pods[uid] = entry
        else:
            self._pods.pop(uid, None)
            self._versions.pop(uid, None)
        old = (before.sandboxes, before.containers) if before else ({}, {})
        return (entry.sandboxes, entry.containers) != old

    async def _sandbox(self, listed: Any) -> SeenSandbox | None:
        try:
            return _seen_sandbox(await self._cri.sandbox_status(listed.id))
        except RuntimeNotFound:
            return None

    async def _container(self, listed: Any) -> SeenContainer | None:
        try:
            status = await self._cri.container_status(listed.id)
        except RuntimeNotFound:
            return None
        return _seen_container(status, listed.pod_sandbox_id)


def _by_uid(parts: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for part in parts:
        found.setdefault(part.labels.get(labels.POD_UID, ""), []).append(part)
    return found


def _seen_sandbox(status: Any) -> SeenSandbox:
    first = [status.network.ip] if status.network.ip else []
    return SeenSandbox(
        id=status.id,
        attempt=status.metadata.attempt,
        ready=status.state == _SANDBOX_READY,
        created_at=status.created_at / _NANO,
        ips=(*first, *(ip.ip for ip in status.network.additional_ips)),
    )


def _seen_container(status: Any, sandbox_id: str) -> SeenContainer:
    state = RunState(status.state)
    annotations = status.annotations
    return SeenContainer(
        id=status.id,
        name=status.labels.get(labels.CONTAINER_NAME) or status.metadata.name,
        sandbox_id=sandbox_id,
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
