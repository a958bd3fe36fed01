"""Every subresource that is not plain storage, and who handles it."""

from collections.abc import Mapping

from sagong.api.schema import Schemas
from sagong.server.endpoints.component_statuses import component_statuses
from sagong.server.handlers import Handler
from sagong.server.subresources.binding import bind
from sagong.server.subresources.eviction import evict
from sagong.server.subresources.finalize import finalize
from sagong.server.subresources.pod_parts import ephemeral_containers, resize
from sagong.server.subresources.pod_scheduling import pod_scheduling
from sagong.server.subresources.scale import SCALABLE, scale_handler


def subresource_handlers(schemas: Schemas) -> Mapping[tuple[str, str], Handler]:
    """By version-less resource name and subresource."""
    pod = schemas.of("", "v1", "Pod")
    scale = scale_handler(schemas.of("autoscaling", "v1", "Scale"))
    return {
        ("bindings", ""): bind,
        ("componentstatuses", ""): component_statuses,
        ("pods", "binding"): bind,
        ("pods", "eviction"): evict,
        ("pods", "ephemeralcontainers"): ephemeral_containers(pod),
        ("pods", "resize"): resize(pod),
        ("pods", "scheduling"): pod_scheduling(),
        ("namespaces", "finalize"): finalize,
        **{(name, "scale"): scale for name in SCALABLE},
    }
