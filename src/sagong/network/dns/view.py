"""The cluster's names and addresses, read from the cache."""

from collections.abc import Iterable

from sagong.api.types import Obj
from sagong.ctl.controller import Cache, Watch
from sagong.network.indexes import (
    IP_INDEX,
    SERVICE_INDEX,
    SERVICES,
    SLICES,
    ips_of_service,
    ips_of_slice,
    service_of_slice,
)

NAMESPACES = "namespaces"

WATCHES = (
    Watch(SERVICES, indexes={IP_INDEX: ips_of_service}),
    Watch(SLICES, indexes={SERVICE_INDEX: service_of_slice, IP_INDEX: ips_of_slice}),
    Watch(NAMESPACES),
)


class ClusterView:
    """Implements ``records.View``."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def service(self, namespace: str, name: str) -> Obj | None:
        return self._cache.get(SERVICES, namespace, name)

    def slices(self, namespace: str, service: str) -> Iterable[Obj]:
        return self._cache.with_index(SLICES, SERVICE_INDEX, f"{namespace}/{service}")

    def has_namespace(self, namespace: str) -> bool:
        return self._cache.get(NAMESPACES, "", namespace) is not None

    def service_of_ip(self, ip: str) -> Obj | None:
        return next(iter(self._cache.with_index(SERVICES, IP_INDEX, ip)), None)

    def slices_of_ip(self, ip: str) -> Iterable[Obj]:
        return self._cache.with_index(SLICES, IP_INDEX, ip)
