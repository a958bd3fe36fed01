"""kubectl's annotation of client-side apply, where server-side apply meets it.

``kubectl apply --server-side`` may take over what its client-side sister set, and keeps the
annotation of such objects current, so that one can go back.
"""

import orjson

from sagong.api.types import Obj

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"
# What all annotations of an object may hold; a configuration that does not fit is left out.
_ANNOTATION_BYTES_MAX = 256 * 1024


def of(obj: Obj) -> Obj | None:
    """The configuration last applied on the client's side, None if there is none to be read."""
    text = (obj["metadata"].get("annotations") or {}).get(ANNOTATION)
    if not isinstance(text, str) or not text:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def refreshed(obj: Obj, applied: Obj) -> Obj:
    """``obj`` with its annotation saying ``applied``, if it has the annotation."""
    metadata = obj["metadata"]
    annotations = metadata.get("annotations") or {}
    if ANNOTATION not in annotations:
        return obj
    configuration = {**applied, "metadata": dict(applied["metadata"])}
    own = configuration["metadata"].get("annotations")
    if own and ANNOTATION in own:
        rest = {k: v for k, v in own.items() if k != ANNOTATION}
        configuration["metadata"]["annotations"] = rest
    text = orjson.dumps(configuration, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    if len(text) > _ANNOTATION_BYTES_MAX:
        kept = {k: v for k, v in annotations.items() if k != ANNOTATION}
    else:
        kept = {**annotations, ANNOTATION: text}
    return {**obj, "metadata": {**metadata, "annotations": kept}}
