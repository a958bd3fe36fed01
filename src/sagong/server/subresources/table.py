"""Every subresource that is not plain storage, and who handles it."""

from collections.abc import Mapping

from sagong.server.handlers import Handler
from sagong.server.subresources.binding import bind
from sagong.server.subresources.eviction import evict
from sagong.server.subresources.finalize import finalize
from sagong.server.subresources.pod_parts import ephemeral_containers, resize
from sagong.server.subresources.scale import SCALABLE, scale

HANDLERS: Mapping[tuple[str, str], Handler] = {
    ("bindings", ""): bind,
    ("pods", "binding"): bind,
    ("pods", "eviction"): evict,
    ("pods", "ephemeralcontainers"): ephemeral_containers,
    ("pods", "resize"): resize,
    ("namespaces", "finalize"): finalize,
    **{(name, "scale"): scale for name in SCALABLE},
}
