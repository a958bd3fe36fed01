"""What configMap, secret, downwardAPI and projected volumes hold: files made of API objects."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from sagong.api.types import Obj
from sagong.node.pods.downward import field_value, resource_value
from sagong.node.pods.environment import decode
from sagong.node.pods.failures import VolumeFailure
from sagong.node.volumes.context import VolumeContext
from sagong.node.volumes.payload import Payload, PayloadFile

DEFAULT_MODE = 0o644
TOKEN_MODE = 0o600
# Objects younger than this are not asked for again, so that a pod's volumes share one answer.
OBJECT_AGE_SECONDS = 5.0

PayloadSource = Callable[[Obj, VolumeContext, int], Awaitable[Payload]]


async def config_map_payload(source: Obj, context: VolumeContext, mode: int) -> Payload:
    """Keys of a ConfigMap as files; ``source`` has name, items, optional."""
    obj = await context.objects.get(
        "configmaps", context.namespace, source["name"], max_age_seconds=OBJECT_AGE_SECONDS
    )
    if obj is None:
        return _absent(source, "configmap", source["name"])
    data = {key: text.encode() for key, text in (obj.get("data") or {}).items()}
    data |= {key: decode(text) for key, text in (obj.get("binaryData") or {}).items()}
    return _selected(source, data, mode, "configmap")


async def secret_payload(source: Obj, context: VolumeContext, mode: int) -> Payload:
    """Keys of a Secret as files; named by ``secretName`` or, in a projection, ``name``."""
    name = source.get("secretName") or source["name"]
    obj = await context.objects.get(
        "secrets", context.namespace, name, max_age_seconds=OBJECT_AGE_SECONDS
    )
    if obj is None:
        return _absent(source, "secret", name)
    data = {key: decode(text) for key, text in (obj.get("data") or {}).items()}
    return _selected(source, data, mode, "secret")


def _absent(source: Obj, kind: str, name: str) -> Payload:
    if source.get("optional"):
        return {}
    raise VolumeFailure(f'{kind} "{name}" not found')


_MISSING_KEY = {
    "configmap": "configmap references non-existent config key",
    "secret": "references non-existent secret key",
}


def _selected(source: Obj, data: Mapping[str, bytes], mode: int, kind: str) -> Payload:
    items = source.get("items")
    if not items:
        return {key: PayloadFile(value, mode) for key, value in data.items()}
    chosen = {}
    for item in items:
        if item["key"] in data:
            chosen[item["path"]] = PayloadFile(data[item["key"]], item.get("mode", mode))
        elif not source.get("optional"):
            raise VolumeFailure(f"{_MISSING_KEY[kind]}: {item['key']}")
    return chosen


async def downward_payload(source: Obj, context: VolumeContext, mode: int) -> Payload:
    """Facts about the pod as files."""
    files = {}
    for item in source.get("items") or []:
        if reference := item.get("fieldRef"):
            path = reference["fieldPath"]
            text = field_value(context.pod, path, context.node, context.pod_ips)
        else:
            text = resource_value(context.pod, {}, item["resourceFieldRef"], context.node)
        files[item["path"]] = PayloadFile(text.encode(), item.get("mode", mode))
    return files


async def token_payload(source: Obj, context: VolumeContext, mode: int) -> Payload:
    """A bound service-account token."""
    token = await context.objects.token(
        context.pod,
        audience=source.get("audience") or "",
        expiration_seconds=int(source.get("expirationSeconds") or 3600),
    )
    # A token that someone other than root must read belongs to that user, and only to it.
    if context.owner is not None or context.fs_group is not None:
        mode = TOKEN_MODE
    return {source["path"]: PayloadFile(token.text.encode(), mode, context.owner)}


async def projected_payload(source: Obj, context: VolumeContext, mode: int) -> Payload:
    """Several sources in one directory; where paths collide the last one wins."""
    files: dict[str, PayloadFile] = {}
    for projection in source.get("sources") or []:
        for field, make in _PROJECTIONS.items():
            if field in projection:
                files |= await make(projection[field], context, mode)
                break
        else:
            raise VolumeFailure(f"projection of {_known(projection)} is not supported")
    return files


def _known(projection: Iterable[str]) -> str:
    return ", ".join(projection) or "nothing"


_PROJECTIONS: Mapping[str, PayloadSource] = {
    "configMap": config_map_payload,
    "secret": secret_payload,
    "downwardAPI": downward_payload,
    "serviceAccountToken": token_payload,
}

# Volume field -> plugin name on disk, source, and whether it is kept in memory only.
PAYLOAD_VOLUMES: Mapping[str, tuple[str, PayloadSource, bool]] = {
    "configMap": ("configmap", config_map_payload, False),
    "secret": ("secret", secret_payload, True),
    "downwardAPI": ("downward-api", downward_payload, True),
    "projected": ("projected", projected_payload, True),
}
