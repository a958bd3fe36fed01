"""DefaultStorageClass and DefaultIngressClass: the class that is marked as the default.

Source of semantics: upstream's ``plugin/pkg/admission/storage/storageclass/setdefault`` and
``plugin/pkg/admission/network/defaultingressclass``.
"""

from collections.abc import Iterable

from sagong.api.meta import annotations_of, name_of
from sagong.api.types import Obj
from sagong.server.admission.interface import Attributes, Lister
from sagong.server.admission.plugin import Mutating, created

_STORAGE_MARKS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_INGRESS_MARKS = ("ingressclass.kubernetes.io/is-default-class",)
_STORAGE_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_INGRESS_ANNOTATION = "kubernetes.io/ingress.class"


class DefaultStorageClass(Mutating):
    name = "DefaultStorageClass"
    resources = frozenset(("persistentvolumeclaims",))

    async def admit(self, attributes: Attributes) -> None:
        claim = created(attributes, "persistentvolumeclaims")
        if claim is None or _STORAGE_ANNOTATION in annotations_of(claim):
            return
        # An empty name is a choice: no dynamic provisioning.
        if claim["spec"].get("storageClassName") is None:
            chosen = default_class(
                attributes.lister, "storageclasses.storage.k8s.io", _STORAGE_MARKS
            )
            if chosen:
                claim["spec"]["storageClassName"] = chosen


class DefaultIngressClass(Mutating):
    name = "DefaultIngressClass"
    resources = frozenset(("ingresses.networking.k8s.io",))

    async def admit(self, attributes: Attributes) -> None:
        ingress = created(attributes, "ingresses.networking.k8s.io")
        if ingress is None or _INGRESS_ANNOTATION in annotations_of(ingress):
            return
        if ingress["spec"].get("ingressClassName") is None:
            chosen = default_class(
                attributes.lister, "ingressclasses.networking.k8s.io", _INGRESS_MARKS
            )
            if chosen:
                ingress["spec"]["ingressClassName"] = chosen


def default_class(lister: Lister, resource: str, marks: Iterable[str]) -> str | None:
    """The name of the newest class that is marked; among equally new ones the first by name."""
    marked = [
        encoded.obj
        for encoded in lister.list(resource)
        if any(annotations_of(encoded.obj).get(mark) == "true" for mark in marks)
    ]
    marked.sort(key=name_of)
    marked.sort(key=_created_at, reverse=True)
    return name_of(marked[0]) if marked else None


def _created_at(obj: Obj) -> str:
    return str(obj["metadata"].get("creationTimestamp") or "")
