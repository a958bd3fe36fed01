"""Persistent volumes."""

from sagong.api.types import Obj
from sagong.api.volume_defaults import default_volume_source
from sagong.server.kinds.core.persistent_volume_validation import (
    validate_volume,
    validate_volume_update,
)
from sagong.server.kinds.core.volume_warnings import persistent_volume_warnings
from sagong.server.kinds.strategy import Strategy


def default(volume: Obj) -> None:
    spec = volume.setdefault("spec", {})
    if not (volume.get("status") or {}).get("phase"):
        volume.setdefault("status", {})["phase"] = "Pending"
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    default_volume_source(spec)


def prepare_for_create(volume: Obj) -> None:
    """The phase begins with the object itself, so its time is the creation's."""
    status: Obj = {"phase": "Pending"}
    created = volume["metadata"].get("creationTimestamp")
    if created:
        status["lastPhaseTransitionTime"] = created
    volume["status"] = status


STRATEGY = Strategy(
    warnings=persistent_volume_warnings,
    validate=validate_volume,
    validate_update=validate_volume_update,
    default=default,
    prepare_for_create=prepare_for_create,
)
