"""Static pods: manifests in a directory of the node, run without the API and mirrored into it.

Semantics: upstream's ``pkg/kubelet/config/file.go`` and ``mirror_client.go``. A changed manifest is
another pod (its uid is a hash of it). The mirror is a pod at the API that shows what runs; deleting
it does nothing to the static pod, and it is made anew.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from sagong.api.errors import AlreadyExists, ApiError, NotFound
from sagong.api.meta import annotations_of, is_deleting, key_of, uid_of
from sagong.api.pod_defaults import default_pod_only, default_pod_spec
from sagong.api.types import Key, Obj
from sagong.api.yaml import load
from sagong.client.client import Client
from sagong.core.clock import Clock, format_time
from sagong.node.pods.mirror import Mirror
from sagong.node.pods.spec import (
    CONFIG_HASH,
    CONFIG_MIRROR,
    CONFIG_SEEN,
    CONFIG_SOURCE,
)

log = logging.getLogger(__name__)

DEPTH_MAX = 100  # of a manifest
LOOK_SECONDS = 1.0  # upstream is woken by inotify, and looks every 20 s beside
MIRROR_RETRY_SECONDS = 2.0


class ManifestError(Exception):
    """A file holds no pod that can be run."""


def static_pod(text: str, path: Path, node: str, *, now: float) -> Obj:
    """The pod of a manifest as this node runs it. Raises ManifestError."""
    try:
        pod, problems = load(text.encode(), depth_max=DEPTH_MAX)
    except ValueError as error:
        raise ManifestError(f"{path}: {error}") from error
    if problems:
        raise ManifestError(f"{path}: {problems}")
    if not isinstance(pod, dict) or pod.get("kind") != "Pod" or not _containers(pod):
        raise ManifestError(f"{path}: not a pod")
    metadata = pod.setdefault("metadata", {})
    if not metadata.get("name"):
        raise ManifestError(f"{path}: the pod has no name")
    digest = hashlib.md5(f"{node}|{path}|".encode(), usedforsecurity=False)
    digest.update(orjson.dumps(pod, option=orjson.OPT_SORT_KEYS))
    uid = str(metadata.get("uid") or digest.hexdigest())
    metadata["uid"], metadata["name"] = uid, f"{metadata['name']}-{node}".lower()
    metadata["namespace"] = metadata.get("namespace") or "default"
    metadata["creationTimestamp"] = format_time(now)
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        CONFIG_SOURCE: "file",
        CONFIG_HASH: uid,
        CONFIG_SEEN: format_time(now),
    }
    spec = pod["spec"]
    spec["nodeName"] = node
    everything = {"operator": "Exists", "effect": "NoExecute"}
    spec["tolerations"] = [*(spec.get("tolerations") or ()), everything]
    default_pod_only(spec)
    default_pod_spec(spec)
    pod["status"] = {"phase": "Pending"}
    return pod


def _containers(pod: Obj) -> list[Obj]:
    return (pod.get("spec") or {}).get("containers") or []


def mirror_of(pod: Obj, node: Obj) -> Obj:
    """What is created at the API for a static pod."""
    metadata = pod["metadata"]
    annotations = {**metadata["annotations"], CONFIG_MIRROR: metadata["annotations"][CONFIG_HASH]}
    owner = {"apiVersion": "v1", "kind": "Node", "name": node["metadata"]["name"]}
    owner |= {"uid": node["metadata"]["uid"], "controller": True}
    kept = {k: metadata[k] for k in ("name", "namespace", "labels") if metadata.get(k)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**kept, "annotations": annotations, "ownerReferences": [owner]},
        "spec": pod["spec"],
    }


def is_mirror(pod: Obj) -> bool:
    return CONFIG_MIRROR in annotations_of(pod)


@dataclass(slots=True)
class StaticPods:
    """One an agent. ``started`` and ``stopped`` are told of static pods that come and go."""

    directory: Path | None
    node_name: str
    node: Callable[[], Obj]
    client: Client
    clock: Clock
    started: Callable[[Obj, Mirror], None]
    stopped: Callable[[str], None]  # uid
    mirrored: Callable[[str], None]  # uid: its mirror has changed
    _pods: dict[Key, Obj] = field(default_factory=dict)
    _mirrors: dict[Key, Mirror] = field(default_factory=dict)
    _files: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    _due: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Follow the directory until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Read the directory if anything in it has changed."""
        files = self._listing()
        if files == self._files:
            return
        self._files = files
        wanted = {}
        for name in sorted(files):
            pod = self._read(name)
            if pod is not None:
                wanted[key_of(pod)] = pod
        for key, pod in tuple(self._pods.items()):
            if key not in wanted or uid_of(wanted[key]) != uid_of(pod):
                del self._pods[key]
                self.stopped(uid_of(pod))
        for key, pod in wanted.items():
            if key not in self._pods:
                self._pods[key] = pod
                self.started(pod, self._mirrors.setdefault(key, Mirror()))
        self._due.set()

    def _listing(self) -> Mapping[str, tuple[int, int]]:
        """Files by name with time and size; names that begin with a dot are left out."""
        if self.directory is None:
            return {}
        try:
            entries = [e for e in self.directory.iterdir() if not e.name.startswith(".")]
            stats = {entry.name: entry.stat() for entry in entries if entry.is_file()}
        except OSError:
            return {}
        return {name: (found.st_mtime_ns, found.st_size) for name, found in stats.items()}

    def _read(self, name: str) -> Obj | None:
        assert self.directory is not None
        path = self.directory / name
        try:
            return static_pod(path.read_text(), path, self.node_name, now=self.clock.now())
        except (OSError, UnicodeDecodeError, ManifestError) as error:
            log.error("cannot read the static pod of %s: %s", path, error)
            return None

    # Mirrors

    def saw(self, key: Key, pod: Obj | None) -> None:
        """A mirror has appeared, changed or (None) gone."""
        mirror = self._mirrors.setdefault(key, Mirror())
        mirror.pod = pod
        if key in self._pods:
            self.mirrored(uid_of(self._pods[key]))
        self._due.set()

    async def keep_mirrors(self) -> None:
        """Make and remove mirrors until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                for key in tuple(self._mirrors):
                    await self._settle(key)
            except ApiError as error:
                log.info("cannot mirror static pods yet: %s", error)
                await asyncio.sleep(MIRROR_RETRY_SECONDS)
                self._due.set()

    async def _settle(self, key: Key) -> None:
        """One mirror: the one of the pod that runs, or none. Raises ApiError."""
        pod, mirror = self._pods.get(key), self._mirrors[key]
        if mirror.pod is not None:
            own = annotations_of(mirror.pod).get(CONFIG_MIRROR)
            if pod is not None and own == uid_of(pod) and not is_deleting(mirror.pod):
                return
            await self._delete(mirror.pod)
            mirror.pod = None
        if pod is None:
            del self._mirrors[key]
            return
        try:
            mirror.pod = await self.client.create("pods", mirror_of(pod, self.node()))
        except AlreadyExists:
            mirror.pod = await self.client.get("pods", key.name, namespace=key.namespace)
            self._due.set()
        self.mirrored(uid_of(pod))

    async def _delete(self, pod: Obj) -> None:
        metadata = pod["metadata"]
        try:
            await self.client.delete(
                "pods",
                metadata["name"],
                namespace=metadata["namespace"],
                uid=metadata["uid"],
                grace_period_seconds=0,
            )
        except NotFound:
            log.debug("the mirror %s was gone already", metadata["name"])
