"""StorageObjectInUseProtection and PersistentVolumeClaimResize.

Claims and volumes are not removed while somebody uses them; claims grow only where their class
allows it. Source of semantics: upstream's ``plugin/pkg/admission/storage``.
"""

from sagong.api.meta import annotations_of
from sagong.api.quantities import Quantity, parse
from sagong.api.types import Obj
from sagong.server.admission.interface import Attributes
from sagong.server.admission.plugin import Mutating, Validating, created, refuse, updated

FINALIZERS = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
    "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
}
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


class StorageObjectInUseProtection(Mutating):
    name = "StorageObjectInUseProtection"
    resources = frozenset(FINALIZERS)

    async def admit(self, attributes: Attributes) -> None:
        finalizer = FINALIZERS.get(attributes.resource.name)
        if finalizer is None:
            return
        obj = created(attributes, attributes.resource.name)
        if obj is None:
            return
        finalizers = obj["metadata"].get("finalizers") or []
        if finalizer not in finalizers:
            obj["metadata"]["finalizers"] = [*finalizers, finalizer]


class PersistentVolumeClaimResize(Validating):
    name = "PersistentVolumeClaimResize"
    resources = frozenset(("persistentvolumeclaims",))

    async def validate(self, attributes: Attributes) -> None:
        both = updated(attributes, "persistentvolumeclaims")
        if both is None:
            return
        new, old = both
        if _size(old) >= _size(new):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise refuse(attributes, "Only bound persistent volume claims can be expanded")
        if not _may_grow(attributes, new, old):
            raise refuse(
                attributes,
                "only dynamically provisioned pvc can be resized and the storageclass that"
                " provisions the pvc must support resize",
            )


def _size(claim: Obj) -> int:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    size: Quantity = parse(requests.get("storage", "0"))
    return size.nano


def _may_grow(attributes: Attributes, new: Obj, old: Obj) -> bool:
    name = _class_of(new)
    if not name or name != _class_of(old):
        return False
    found = attributes.lister.get("storageclasses.storage.k8s.io", "", name)
    return bool(found and found.obj.get("allowVolumeExpansion"))


def _class_of(claim: Obj) -> str:
    annotated = annotations_of(claim).get(_CLASS_ANNOTATION)
    return annotated or claim["spec"].get("storageClassName") or ""
