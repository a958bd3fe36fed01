"""Have each node's volumes attached while pods there need them, and detached afterwards.

Reads: Node, Pod, PersistentVolumeClaim, PersistentVolume, CSIDriver, VolumeAttachment.
Writes: VolumeAttachment (create, delete), Node.status.volumesAttached.
Invariant: a volume that a node reports in use is not detached, unless the node is out of service or
has been unhealthy for longer than a node may take to unmount; and the node's status no longer shows
it as attached before its detachment is asked for.

Drivers' attachers do the work that a VolumeAttachment asks for and report in its status.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api.errors import AlreadyExists, NotFound
from sagong.api.meta import condition, is_deleting, name_of, namespace_of, uid_of
from sagong.api.pods import claims_of
from sagong.api.types import Key, Obj
from sagong.api.volumes import CLAIMS, VOLUMES
from sagong.controllers.storage.attachable import (
    ATTACHMENTS,
    DRIVERS,
    Volume,
    in_use_as,
    needs_volumes,
    volume_of,
    volumes_of,
)
from sagong.ctl.controller import (
    DONE,
    Cache,
    Controller,
    Env,
    Reconcile,
    Result,
    Watch,
    after,
    reads,
)

# Upstream's ReconcilerMaxWaitForUnmountDuration.
UNMOUNT_SECONDS_MAX = 360.0
# How soon a volume that is exclusively attached elsewhere is looked at again.
EXCLUSIVE_RETRY_SECONDS = 5.0
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def _node_of(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    nodes = dict.fromkeys(obj["spec"].get("nodeName") for obj in (old, new) if obj)
    return [Key("", node) for node in nodes if node]


def _node_of_pod(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """Most pods have no claims, and their many changes concern nobody here."""
    pod = new or old
    assert pod is not None
    return _node_of(old, new, cache) if claims_of(pod) else ()


def _nodes_of_claim(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """A claim that becomes bound concerns the nodes of pods that came before."""
    if new is None or (old is not None and old.get("status") == new.get("status")):
        return []
    pods = cache.list("pods", namespace_of(new))
    return {
        Key("", pod["spec"]["nodeName"])
        for pod in pods
        if pod["spec"].get("nodeName")
        and any(
            (v.get("persistentVolumeClaim") or {}).get("claimName") == name_of(new)
            for v in pod["spec"].get("volumes") or ()
        )
    }


def _target(obj: Obj) -> Iterable[str]:
    return [obj["spec"].get("nodeName") or ""]


CONTROLLER = Controller(
    name="attachdetach",
    reconciles="nodes",
    watches=(
        Watch("pods", _node_of_pod, {"node": lambda pod: [pod["spec"].get("nodeName") or ""]}),
        Watch(
            ATTACHMENTS,
            _node_of,
            {"attached-to": lambda found: [found["spec"].get("nodeName") or ""]},
        ),
        Watch(CLAIMS, _nodes_of_claim),
        reads(VOLUMES),
        reads(DRIVERS),
    ),
    workers=2,
    component="attachdetach-controller",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A volume and the pods of the node that need it."""

    volume: Volume
    pods: Sequence[Obj]


@dataclass(frozen=True, slots=True)
class Seen:
    node: Obj | None  # None: it is gone, and everything it had is to be detached
    wanted: Mapping[str, Wanted]  # by the name of the attachment
    attachments: Sequence[Obj]  # of the node
    # By attachment, the volume behind it, as far as it is known.
    volumes: Mapping[str, Volume]
    # Names of wanted volumes that are exclusively attached to another node, which is named.
    elsewhere: Mapping[str, str]


@dataclass(slots=True)
class Plan:
    create: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)
    attached: list[Obj] = field(default_factory=list)  # the node's volumesAttached
    # Attachments that nobody needs and that are still mounted.
    mounted: list[str] = field(default_factory=list)
    events: list[tuple[Obj, str, str, str]] = field(default_factory=list)
    look_again: float | None = None


def observe(key: Key, cache: Cache) -> Seen | None:
    node = cache.get("nodes", "", key.name)
    attachments = list(cache.with_index(ATTACHMENTS, "attached-to", key.name))
    volumes = {}
    for attachment in attachments:
        source = attachment["spec"]["source"].get("persistentVolumeName") or ""
        found = cache.get(VOLUMES, "", source)
        volume = volume_of(found, cache) if found is not None else in_use_as(attachment, node)
        if volume is not None:
            volumes[name_of(attachment)] = volume
    if node is None:
        return Seen(None, {}, attachments, volumes, {}) if attachments else None
    wanted = _wanted(key.name, cache)
    return Seen(node, wanted, attachments, volumes, _elsewhere(key.name, wanted, cache))


def _wanted(node: str, cache: Cache) -> dict[str, Wanted]:
    pods: dict[Volume, list[Obj]] = {}
    for pod in cache.with_index("pods", "node", node):
        if needs_volumes(pod):
            for volume in volumes_of(pod, cache):
                pods.setdefault(volume, []).append(pod)
    return {v.attachment_name(node): Wanted(v, found) for v, found in pods.items()}


def _elsewhere(node: str, wanted: Mapping[str, Wanted], cache: Cache) -> dict[str, str]:
    exclusive = {w.volume.name for w in wanted.values() if w.volume.exclusive}
    if not exclusive:
        return {}
    return {
        source: attachment["spec"]["nodeName"]
        for attachment in cache.list(ATTACHMENTS)
        if (source := attachment["spec"]["source"].get("persistentVolumeName")) in exclusive
        and attachment["spec"]["nodeName"] != node
    }


def plan(seen: Seen, *, unneeded_since: Mapping[str, float], now: float) -> Plan:
    """``unneeded_since``: since when (monotonic) an attachment waits to be unmounted."""
    found = Plan()
    present = {name_of(a): a for a in seen.attachments}
    for name, wanted in seen.wanted.items():
        if name not in present:
            _plan_attachment(seen, name, wanted, found)
    for name, attachment in present.items():
        if name in seen.wanted:
            _plan_kept(seen, attachment, seen.wanted[name], found)
        elif not is_deleting(attachment):
            _plan_detachment(seen, attachment, unneeded_since.get(name, now), now, found)
    found.attached.sort(key=lambda entry: str(entry["name"]))
    return found


def _plan_attachment(seen: Seen, name: str, wanted: Wanted, found: Plan) -> None:
    volume, node = wanted.volume, seen.node
    assert node is not None
    if volume.name in seen.elsewhere:
        text = (
            f'Multi-Attach error for volume "{volume.name}" Volume is already exclusively attached '
            "to one node and can't be attached to another"
        )
        found.events += [(pod, "Warning", "FailedAttachVolume", text) for pod in wanted.pods]
        found.look_again = EXCLUSIVE_RETRY_SECONDS
        return
    found.create.append(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttachment",
            "metadata": {"name": name},
            "spec": {
                "attacher": volume.driver,
                "nodeName": name_of(node),
                "source": {"persistentVolumeName": volume.name},
            },
        }
    )


def _plan_kept(seen: Seen, attachment: Obj, wanted: Wanted, found: Plan) -> None:
    status, volume = attachment.get("status") or {}, wanted.volume
    if status.get("attached") and not is_deleting(attachment):
        found.attached.append({"name": volume.unique_name, "devicePath": ""})
        if volume.unique_name not in _names(seen.node, "volumesAttached"):
            text = f'AttachVolume.Attach succeeded for volume "{volume.name}" '
            found.events += [(p, "Normal", "SuccessfulAttachVolume", text) for p in wanted.pods]
    elif error := status.get("attachError"):
        text = f'AttachVolume.Attach failed for volume "{volume.name}" : {error.get("message", "")}'
        found.events += [(pod, "Warning", "FailedAttachVolume", text) for pod in wanted.pods]


def _plan_detachment(seen: Seen, attachment: Obj, since: float, now: float, found: Plan) -> None:
    volume = seen.volumes.get(name_of(attachment))
    if seen.node is None or volume is None:
        found.delete.append(attachment)
        return
    mounted = volume.unique_name in _names(seen.node, "volumesInUse")
    overdue = not _is_healthy(seen.node) and now - since >= UNMOUNT_SECONDS_MAX
    if mounted and not overdue and not _is_out_of_service(seen.node):
        found.mounted.append(name_of(attachment))
        if (attachment.get("status") or {}).get("attached"):
            found.attached.append({"name": volume.unique_name, "devicePath": ""})
        left = since + UNMOUNT_SECONDS_MAX - now
        if left > 0:
            found.look_again = min(found.look_again or left, left)
        return
    found.delete.append(attachment)


def _names(node: Obj | None, field_: str) -> frozenset[str]:
    entries = ((node or {}).get("status") or {}).get(field_) or ()
    return frozenset(e["name"] if isinstance(e, dict) else str(e) for e in entries)


def _is_healthy(node: Obj) -> bool:
    ready = condition(node, "Ready")
    return ready is not None and ready.get("status") == "True"


def _is_out_of_service(node: Obj) -> bool:
    taints = (node.get("spec") or {}).get("taints") or ()
    return any(taint["key"] == OUT_OF_SERVICE for taint in taints)


def reconciler() -> Reconcile:
    """Reconcile with a memory of since when nodes are to unmount what."""
    waiting: dict[str, dict[str, float]] = {}

    async def reconcile(key: Key, env: Env) -> Result:
        seen = observe(key, env.cache)
        if seen is None:
            waiting.pop(key.name, None)
            return DONE
        now, since = env.clock.monotonic(), waiting.get(key.name, {})
        decided = plan(seen, unneeded_since=since, now=now)
        waiting[key.name] = {name: since.get(name, now) for name in decided.mounted}
        await _apply(env, seen, decided)
        return DONE if decided.look_again is None else after(decided.look_again)

    return reconcile


async def _apply(env: Env, seen: Seen, decided: Plan) -> None:
    """The node's status first: it must not mount what is about to be detached."""
    if seen.node is not None:
        await _write_attached(env, seen.node, decided.attached)
    for event in decided.events:
        env.events.emit(*event)
    for attachment in decided.delete:
        try:
            await env.client.delete(ATTACHMENTS, name_of(attachment), uid=uid_of(attachment))
        except NotFound:
            continue
    for attachment in decided.create:
        try:
            await env.client.create(ATTACHMENTS, attachment)
        except AlreadyExists:
            continue


async def _write_attached(env: Env, node: Obj, attached: Sequence[Obj]) -> None:
    current = (node.get("status") or {}).get("volumesAttached") or []
    if [e["name"] for e in current] == [e["name"] for e in attached]:
        return
    patch = {
        "metadata": {"uid": uid_of(node)},
        "status": {"volumesAttached": list(attached) or None},
    }
    await env.client.patch("nodes", name_of(node), patch, subresource="status")
