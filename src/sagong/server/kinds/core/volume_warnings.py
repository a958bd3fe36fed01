"""Warnings about volumes, of pods and by themselves, and about claims.

Upstream: pkg/api/{pod,persistentvolume,persistentvolumeclaim}.
"""

from collections.abc import Iterable, Iterator, Sequence

from sagong.api.types import Obj
from sagong.api.validation import Path
from sagong.server.kinds import checks
from sagong.server.kinds.node_labels import node_term_warnings

# A kind of volume and why it is of no use. In upstream's order.
_POD_VOLUMES = (
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
)
_CALLED = {"storageos": "storageOS"}  # in upstream's warnings
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_CLASS_WHY = 'deprecated since v1.8; use "storageClassName" attribute instead'
_RECYCLE = (
    "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
    "recommended approach is to use dynamic provisioning."
)


def fractions(amounts: Obj, path: Path, resources: Iterable[str]) -> Iterator[str]:
    """Bytes are whole."""
    for name in resources:
        value = amounts.get(name)
        if value is not None and checks.quantity(value).nano % 10**9:
            where = path.key(name)
            yield f'{where}: fractional byte value "{value}" is invalid, must be an integer'


def claim_spec_warnings(spec: Obj, path: Path) -> Iterator[str]:
    resources = spec.get("resources") or {}
    for kind in ("requests", "limits"):
        yield from fractions(resources.get(kind) or {}, path.child("resources", kind), ("storage",))


def _class_annotation(obj: Obj) -> list[str]:
    if _CLASS_ANNOTATION not in (obj["metadata"].get("annotations") or {}):
        return []
    return [f"metadata.annotations[{_CLASS_ANNOTATION}]: {_CLASS_WHY}"]


def claim_warnings(new: Obj, old: Obj | None) -> list[str]:
    return [*_class_annotation(new), *claim_spec_warnings(new["spec"], Path("spec"))]


def persistent_volume_warnings(new: Obj, old: Obj | None) -> list[str]:
    spec = new["spec"]
    found = _class_annotation(new)
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        found.append(_RECYCLE)
    required = (spec.get("nodeAffinity") or {}).get("required") or {}
    where = Path("spec").child("nodeAffinity", "required", "nodeSelectorTerms")
    for i, term in enumerate(required.get("nodeSelectorTerms") or ()):
        found += node_term_warnings(term, where.index(i))
    return found + [
        f"spec.{_CALLED.get(field, field)}: {why}"
        for field, why in _POD_VOLUMES
        if spec.get(field) is not None
    ]


def volume_warnings(volumes: Sequence[Obj], path: Path) -> Iterator[str]:
    """Of a pod's volumes."""
    for i, volume in enumerate(volumes):
        for field, why in _POD_VOLUMES:
            if volume.get(field) is not None:
                yield f"{path.index(i).child(_CALLED.get(field, field))}: {why}"
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if template is not None:
            at = path.index(i).child("ephemeral", "volumeClaimTemplate", "spec")
            yield from claim_spec_warnings(template.get("spec") or {}, at)
    for volume in volumes:
        yield from _overlaps(volume)


def _overlaps(volume: Obj) -> Iterator[str]:
    """Files of a volume that would be written over each other."""
    own = f'volume "{volume.get("name") or ""}"'
    for field, what, key in (
        ("configMap", "ConfigMap", "name"),
        ("secret", "Secret", "secretName"),
        ("downwardAPI", "DownwardAPI", ""),
    ):
        source = volume.get(field)
        if source is not None and source.get("items") is not None:
            named = f' "{source.get(key) or ""}"' if key else ""
            yield from _collisions(_paths(source), f"{own} ({what}{named}): overlapping paths")
    taken: set[str] = set()
    for source in (volume.get("projected") or {}).get("sources") or ():
        if not source:
            yield f"{own} (Projected) has no sources provided"
            continue
        what, paths = _projection(source)
        if not paths:
            continue
        said = f"{own} (Projected {what}): overlapping paths"
        yield from _collisions(paths, said)
        yield from _collisions(sorted([*set(paths), *taken]), said)
        taken.update(paths)


def _projection(source: Obj) -> tuple[str, list[str]]:
    for field, what in (("configMap", "ConfigMap"), ("secret", "Secret")):
        part = source.get(field)
        if part is not None and part.get("items") is not None:
            return f'{what} "{part.get("name") or ""}"', _paths(part)
    if (source.get("downwardAPI") or {}).get("items") is not None:
        return "DownwardAPI", _paths(source["downwardAPI"])
    if source.get("serviceAccountToken") is not None:
        return "ServiceAccountToken", [source["serviceAccountToken"].get("path") or ""]
    bundle = source.get("clusterTrustBundle")
    if bundle is not None:
        name = bundle.get("name") or bundle.get("signerName") or ""
        return f'ClusterTrustBundle "{name}"', [bundle.get("path") or ""]
    return "", []


def _paths(source: Obj) -> list[str]:
    return [item.get("path") or "" for item in source["items"]]


def _collisions(paths: Iterable[str], said: str) -> Iterator[str]:
    known: list[str] = []
    for path in paths:
        short = path.rstrip("/")
        other = next((item for item in known if _in_the_way(item, short)), "")
        if other:
            yield f'{said}: "{short}" with "{other}"'
        if short not in known:
            known.append(short)


def _in_the_way(item: str, path: str) -> bool:
    """As upstream, which holds a path against the other's beginning, not its parts."""
    if not item or not path:
        return False
    return f"{item}/".startswith(path) or f"{path}/".startswith(item)
