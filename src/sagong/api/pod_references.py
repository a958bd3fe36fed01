"""Which other objects of its namespace a pod names. Pure.

Source of semantics: upstream's ``pkg/api/v1/pod`` visitors and the Node authorizer's graph.
"""

from collections.abc import Iterator

from sagong.api.meta import name_of
from sagong.api.types import Obj

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
# Volume sources whose secret is named by ``secretRef``.
_SECRET_REF_SOURCES = ("cephfs", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos")


def references(pod: Obj) -> Iterator[tuple[str, str]]:
    """(resource, name) of every secret, config map, claim and account that the pod names."""
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        yield "serviceaccounts", spec["serviceAccountName"]
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for part in _CONTAINERS:
        for container in spec.get(part) or ():
            yield from _of_container(container)
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume, name_of(pod))
    for claim in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        yield "resourceclaims.resource.k8s.io", claim.get("resourceClaimName", "")
    for claim in spec.get("resourceClaims") or ():
        yield "resourceclaims.resource.k8s.io", claim.get("resourceClaimName", "")


def _of_container(container: Obj) -> Iterator[tuple[str, str]]:
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        if "secretKeyRef" in source:
            yield "secrets", source["secretKeyRef"].get("name", "")
        if "configMapKeyRef" in source:
            yield "configmaps", source["configMapKeyRef"].get("name", "")
    for source in container.get("envFrom") or ():
        if "secretRef" in source:
            yield "secrets", source["secretRef"].get("name", "")
        if "configMapRef" in source:
            yield "configmaps", source["configMapRef"].get("name", "")


def _of_volume(volume: Obj, pod_name: str) -> Iterator[tuple[str, str]]:
    if "secret" in volume:
        yield "secrets", volume["secret"].get("secretName", "")
    if "configMap" in volume:
        yield "configmaps", volume["configMap"].get("name", "")
    if "persistentVolumeClaim" in volume:
        yield "persistentvolumeclaims", volume["persistentVolumeClaim"].get("claimName", "")
    if "ephemeral" in volume:
        yield "persistentvolumeclaims", f"{pod_name}-{volume['name']}"
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "secret" in source:
            yield "secrets", source["secret"].get("name", "")
        if "configMap" in source:
            yield "configmaps", source["configMap"].get("name", "")
    if "azureFile" in volume:
        yield "secrets", volume["azureFile"].get("secretName", "")
    reference = (volume.get("csi") or {}).get("nodePublishSecretRef")
    if reference:
        yield "secrets", reference.get("name", "")
    for kind in _SECRET_REF_SOURCES:
        reference = (volume.get(kind) or {}).get("secretRef")
        if reference:
            yield "secrets", reference.get("name", "")


def volume_secrets(volume: Obj) -> Iterator[tuple[str, str]]:
    """(namespace, name) of the secrets that a PersistentVolume names."""
    spec = volume["spec"]
    claim_namespace = (spec.get("claimRef") or {}).get("namespace", "")
    csi = spec.get("csi") or {}
    for field in ("nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"):
        if csi.get(field):
            yield csi[field].get("namespace", ""), csi[field].get("name", "")
    if "azureFile" in spec:
        namespace = spec["azureFile"].get("secretNamespace") or claim_namespace
        yield namespace, spec["azureFile"].get("secretName", "")
    for kind in _SECRET_REF_SOURCES:
        reference = (spec.get(kind) or {}).get("secretRef")
        if reference:
            yield reference.get("namespace") or claim_namespace, reference.get("name", "")
