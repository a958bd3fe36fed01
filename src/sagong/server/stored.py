"""Objects as bytes at rest: JSON without metadata.resourceVersion, which is the key's revision.

The first three members are always apiVersion, kind and metadata, so the revision can be put in
place without decoding.
"""

import orjson

from sagong.api.types import Encoded, Obj
from sagong.core.invariant import invariant

_METADATA = b'"metadata":{'


def to_stored(obj: Obj) -> bytes:
    """The bytes to put into the store."""
    metadata = obj["metadata"]
    if "resourceVersion" in metadata:
        metadata = {k: v for k, v in metadata.items() if k != "resourceVersion"}
    ordered: Obj = {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": metadata,
    }
    for field, value in obj.items():
        if field not in ordered:
            ordered[field] = value
    return orjson.dumps(ordered)


def from_stored(data: bytes, revision: int, decoded: Obj | None = None) -> Encoded:
    """The object as clients see it, still encoded unless what ``data`` says is given as well."""
    at = data.find(_METADATA)
    invariant(at > 0, "a stored object has no metadata", data=data[:200])
    at += len(_METADATA)
    if decoded is not None:
        metadata = {**decoded["metadata"], "resourceVersion": str(revision)}
        decoded = {**decoded, "metadata": metadata}
    return Encoded(decoded, b'%b"resourceVersion":"%d",%b' % (data[:at], revision, data[at:]))


def stored_of(data: bytes, revision: int) -> bytes:
    """What ``from_stored`` made ``data`` of."""
    at = data.find(_METADATA) + len(_METADATA)
    return data[:at] + data[at + len(b'"resourceVersion":"%d",' % revision) :]


def without_revision(obj: Obj) -> Obj:
    """The object without its resource version; the metadata is a shallow copy."""
    metadata = {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}
    return {**obj, "metadata": metadata}
