"""Which volumes a pod's node must have attached, and how attachments are named. Pure.

Semantics: upstream's ``pkg/controller/volume/attachdetach`` with the CSI plugin, the only one that
is left: what other plugins attached is CSI's by now.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sagong.api.meta import is_deleting, name_of, namespace_of
from sagong.api.pods import claims_of, is_finished
from sagong.api.types import Obj
from sagong.api.volumes import (
    CLAIMS,
    VOLUMES,
    attachment_name,
    is_reserved_for,
    phase_of,
    split_unique_name,
    unique_name,
)
from sagong.ctl.controller import Cache

ATTACHMENTS = "volumeattachments.storage.k8s.io"
DRIVERS = "csidrivers.storage.k8s.io"
EXCLUSIVE = frozenset({"ReadWriteOnce", "ReadWriteOncePod"})


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume that a driver attaches to nodes."""

    name: str  # of the PersistentVolume
    driver: str
    handle: str
    exclusive: bool = True  # to one node at a time

    @property
    def unique_name(self) -> str:
        """As in a node's volumesInUse and volumesAttached."""
        return unique_name(self.driver, self.handle)

    def attachment_name(self, node: str) -> str:
        """The same for all times, so that an attachment is never made twice."""
        return attachment_name(self.handle, self.driver, node)


def volume_of(obj: Obj, cache: Cache) -> Volume | None:
    """What a PersistentVolume asks of its driver; None if there is nothing to attach."""
    source = obj["spec"].get("csi")
    if source is None:
        return None
    driver = cache.get(DRIVERS, "", source["driver"])
    if driver is not None and driver["spec"].get("attachRequired") is False:
        return None
    modes = set(obj["spec"].get("accessModes") or ())
    exclusive = bool(modes) and modes <= EXCLUSIVE
    return Volume(name_of(obj), source["driver"], source["volumeHandle"], exclusive)


def in_use_as(attachment: Obj, node: Obj | None) -> Volume | None:
    """What a node still has of an attachment whose PersistentVolume is gone."""
    if node is None:
        return None
    source = attachment["spec"]["source"].get("persistentVolumeName") or ""
    for text in (node.get("status") or {}).get("volumesInUse") or ():
        driver, handle = split_unique_name(text)
        volume = Volume(source, driver, handle)
        if volume.attachment_name(name_of(node)) == name_of(attachment):
            return volume
    return None


def needs_volumes(pod: Obj) -> bool:
    """Whether the pod's containers run or will: what it has done with, its node lets go of."""
    return not is_finished(pod) and not (is_deleting(pod) and _has_ended(pod))


def _has_ended(pod: Obj) -> bool:
    """Every container of a pod that is being deleted has come to its end."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return bool(statuses) and all((s.get("state") or {}).get("terminated") for s in statuses)


def volumes_of(pod: Obj, cache: Cache) -> Iterable[Volume]:
    """The attachable volumes behind the pod's claims, of those that are bound."""
    for name in claims_of(pod):
        claim = cache.get(CLAIMS, namespace_of(pod), name)
        if claim is None or phase_of(claim) != "Bound":
            continue
        found = cache.get(VOLUMES, "", claim["spec"].get("volumeName") or "")
        if found is None or not is_reserved_for(found, claim):
            continue
        volume = volume_of(found, cache)
        if volume is not None:
            yield volume
