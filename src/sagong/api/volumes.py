"""Claims and volumes in the words that their controllers and the scheduler share."""

import hashlib
from collections.abc import Iterable, Mapping

from sagong.api import quantities
from sagong.api.meta import annotations_of, labels_of, name_of, namespace_of, uid_of
from sagong.api.selectors import selector_from_object
from sagong.api.types import Key, Obj

CLAIMS = "persistentvolumeclaims"
VOLUMES = "persistentvolumes"
CLASSES = "storageclasses.storage.k8s.io"

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
LEGACY_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


def claim_key(volume: Obj) -> Key | None:
    """The claim that a volume is reserved for."""
    ref = volume["spec"].get("claimRef")
    return Key(ref["namespace"], ref["name"]) if ref else None


def is_reserved_for(volume: Obj, claim: Obj) -> bool:
    """Whether a volume's claimRef names this very claim (a missing uid names any)."""
    ref = volume["spec"].get("claimRef")
    return bool(
        ref
        and ref.get("name") == name_of(claim)
        and ref.get("namespace") == namespace_of(claim)
        and ref.get("uid") in (None, "", uid_of(claim))
    )


def capacity(volume: Obj) -> int:
    text = (volume["spec"].get("capacity") or {}).get("storage") or "0"
    return quantities.parse(text).value


def wanted_bytes(claim: Obj) -> int:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return quantities.parse(requests.get("storage") or "0").value


def class_of(obj: Obj) -> str:
    return str(obj["spec"].get("storageClassName") or "")


def mode_of(obj: Obj) -> str:
    return str(obj["spec"].get("volumeMode") or "Filesystem")


def phase_of(obj: Obj) -> str:
    return str((obj.get("status") or {}).get("phase") or "")


def mismatch(volume: Obj, claim: Obj) -> str:
    """Why a volume that was asked for by name cannot serve the claim; "" if it can."""
    if capacity(volume) < wanted_bytes(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if mode_of(volume) != mode_of(claim):
        return "incompatible volumeMode"
    if _attributes_of(volume) != _attributes_of(claim):
        return "volumeAttributesClassName does not match"
    if not offers_access(volume, claim):
        return "incompatible accessMode"
    return ""


def _attributes_of(obj: Obj) -> str:
    return str(obj["spec"].get("volumeAttributesClassName") or "")


def satisfies(volume: Obj, claim: Obj) -> bool:
    """Whether a free volume could serve a claim: class, mode, access, size and selector."""
    return not mismatch(volume, claim) and is_selected(volume, claim)


def offers_access(volume: Obj, claim: Obj) -> bool:
    """Whether a volume has every access mode that the claim wants."""
    wanted = claim["spec"].get("accessModes") or ()
    return set(wanted) <= set(volume["spec"].get("accessModes") or ())


def is_selected(volume: Obj, claim: Obj) -> bool:
    """Whether the claim's selector, if it has one, selects the volume."""
    selector = claim["spec"].get("selector")
    return selector is None or selector_from_object(selector).matches(labels_of(volume))


def best_volume(volumes: Iterable[Obj], claim: Obj) -> Obj | None:
    """A volume that is reserved for the claim, else the smallest free one that serves it."""
    free = []
    for volume in volumes:
        if volume["metadata"].get("deletionTimestamp"):
            continue
        if is_reserved_for(volume, claim):
            return volume if satisfies_when_reserved(volume, claim) else None
        if not volume["spec"].get("claimRef") and phase_of(volume) == "Available":
            free.append(volume)
    fitting = [v for v in free if satisfies(v, claim)]
    return min(fitting, key=lambda v: (capacity(v), name_of(v)), default=None)


def satisfies_when_reserved(volume: Obj, claim: Obj) -> bool:
    """A volume that an administrator reserved needs to be large enough and of the same mode."""
    return capacity(volume) >= wanted_bytes(claim) and mode_of(volume) == mode_of(claim)


def claim_reference(claim: Obj) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "name": name_of(claim),
        "namespace": namespace_of(claim),
        "uid": uid_of(claim),
        "resourceVersion": claim["metadata"]["resourceVersion"],
    }


def annotated(obj: Obj, name: str) -> str | None:
    annotations: Mapping[str, str] = annotations_of(obj)
    return annotations.get(name)


def with_annotations(obj: Obj, annotations: Mapping[str, str | None]) -> Obj:
    """A copy with other annotations; None takes one away."""
    merged: dict[str, str | None] = {**annotations_of(obj), **annotations}
    kept = {name: text for name, text in merged.items() if text is not None}
    return {**obj, "metadata": {**obj["metadata"], "annotations": kept}}


def unique_name(driver: str, handle: str) -> str:
    """A CSI volume as a node's ``volumesInUse`` and ``volumesAttached`` call it."""
    return f"kubernetes.io/csi/{driver}^{handle}"


def split_unique_name(text: str) -> tuple[str, str]:
    """Driver and handle of such a name."""
    driver, _, handle = text.removeprefix("kubernetes.io/csi/").partition("^")
    return driver, handle


def attachment_name(handle: str, driver: str, node: str) -> str:
    """The VolumeAttachment of a CSI volume on a node, as attacher, node and sidecars compute it."""
    return f"csi-{hashlib.sha256(f'{handle}{driver}{node}'.encode()).hexdigest()}"
