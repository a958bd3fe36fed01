"""Defaults of volume sources, in pods and in persistent volumes."""

from sagong.api.types import Obj

# Everything under a volume but its name is its source.
_DEFAULT_FILE_MODE = 0o644
_FIXED: dict[str, tuple[tuple[str, object], ...]] = {
    "secret": (("defaultMode", _DEFAULT_FILE_MODE),),
    "configMap": (("defaultMode", _DEFAULT_FILE_MODE),),
    "downwardAPI": (("defaultMode", _DEFAULT_FILE_MODE),),
    "projected": (("defaultMode", _DEFAULT_FILE_MODE),),
    "hostPath": (("type", ""),),
    "iscsi": (("iscsiInterface", "default"),),
    "rbd": (("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")),
    "azureDisk": (
        ("cachingMode", "ReadWrite"),
        ("fsType", "ext4"),
        ("readOnly", False),
        ("kind", "Shared"),
    ),
    "scaleIO": (("storageMode", "ThinProvisioned"), ("fsType", "xfs")),
}


def default_volume(volume: Obj) -> None:
    """Defaults of one volume of a pod; a volume without a source is an emptyDir."""
    if not any(name != "name" and source is not None for name, source in volume.items()):
        volume["emptyDir"] = {}
    default_volume_source(volume)
    _default_items(volume.get("downwardAPI"))
    projected = volume.get("projected")
    if projected is not None:
        for source in projected.get("sources") or ():
            _default_projection(source)
    template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if template is not None:
        template.setdefault("metadata", {})
        default_claim_spec(template.setdefault("spec", {}))


def default_volume_source(owner: Obj) -> None:
    """Defaults of the sources that pods' volumes and persistent volumes have in common."""
    for name, defaults in _FIXED.items():
        source = owner.get(name)
        if source is None:
            continue
        for field, value in defaults:
            if source.get(field) is None or (source[field] == "" and value):
                source[field] = value


def default_claim_spec(spec: Obj) -> None:
    """Defaults of a PersistentVolumeClaimSpec."""
    spec.setdefault("resources", {})
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"


def _default_projection(source: Obj) -> None:
    token = source.get("serviceAccountToken")
    if token is not None and token.get("expirationSeconds") is None:
        token["expirationSeconds"] = 3600
    _default_items(source.get("downwardAPI"))


def _default_items(source: Obj | None) -> None:
    for item in (source or {}).get("items") or ():
        field = item.get("fieldRef")
        if field is not None and not field.get("apiVersion"):
            field["apiVersion"] = "v1"
        resource = item.get("resourceFieldRef")
        if resource is not None and not resource.get("divisor"):
            resource["divisor"] = "0"
