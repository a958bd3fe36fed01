"""Keep the node's proxy in step with Ingresses, Services and the secrets that hold certificates.

Reads: Ingress, IngressClass, Service, EndpointSlice, the Gateway API's kinds; Secrets one by one.
Runs: haproxy, only while an Ingress or Gateway is ours.
"""

import asyncio
import base64
import binascii
import logging
import ssl
import tempfile
from collections.abc import Iterable

from sagong.api.errors import ApiError, NotFound
from sagong.api.gateway import certificate_secrets as gateway_secrets
from sagong.api.ingress import certificate_secrets, is_ours
from sagong.api.meta import name_of, namespace_of
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.ctl.controller import Cache, Watch
from sagong.network.indexes import SERVICE_INDEX, SERVICES, SLICES, service_of_slice
from sagong.network.ingress.config import Surroundings, plan_files
from sagong.network.ingress.gateway_watch import GatewayWatch
from sagong.network.ingress.gateways import Gateways, merged, plan_gateways
from sagong.network.ingress.haproxy import Haproxy, HaproxyError
from sagong.network.ingress.ingresses import Cluster, plan_sites, ready_addresses

log = logging.getLogger(__name__)

INGRESSES = "ingresses.networking.k8s.io"
CLASSES = "ingressclasses.networking.k8s.io"
COALESCE_SECONDS = 0.1  # a reload costs a process: changes that come together share one
REFRESH_SECONDS = 15.0  # how soon a renewed certificate is served
RETRY_SECONDS = 5.0

WATCHES = (
    Watch(INGRESSES),
    Watch(CLASSES),
    Watch(SERVICES),
    Watch(SLICES, indexes={SERVICE_INDEX: service_of_slice}),
)
RESOURCES = frozenset(watch.resource for watch in WATCHES)

Secret = tuple[str, str]  # namespace and name


class IngressServer:
    """Tell it of every change with ``changed`` after the cache has it; ``run`` does the rest."""

    def __init__(
        self,
        cache: Cache,
        client: Client | None,
        proxy: Haproxy,
        where: Surroundings,
        gateways: GatewayWatch | None = None,
    ) -> None:
        """Without a client no secret can be read and nothing is served by TLS."""
        self._gateways = gateways
        self._cache = cache
        self._client = client
        self._proxy = proxy
        self._where = where
        self._pairs: dict[Secret, bytes] = {}
        self._wake = asyncio.Event()
        self._said = ""  # the last problem, said once

    def changed(self, resource: str, old: Obj | None, new: Obj | None) -> None:
        """An object of one of WATCHES was added, changed or removed. Never waits."""
        # Endpoints matter where there is no cluster IP; services and slices only with Ingresses.
        if resource in (INGRESSES, CLASSES) or (resource in RESOURCES and self._is_needed()):
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled; the proxy goes on. The cache must have synced before."""
        while True:
            self._wake.clear()
            served = await self.sync()
            wait = REFRESH_SECONDS if served else RETRY_SECONDS
            if not self._is_needed():
                await self._wake.wait()
                await asyncio.sleep(COALESCE_SECONDS)
                continue
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
                    await asyncio.sleep(COALESCE_SECONDS)
            except TimeoutError:
                continue

    async def sync(self) -> bool:
        """Serve what the cache and the secrets say now; False if that failed."""
        ingresses, gateways = self._ours(), self._seen_gateways()
        secrets = {s for i in ingresses for s in certificate_secrets(i)}
        await self._read_secrets(secrets | {s for g in gateways.ours() for s in gateway_secrets(g)})
        cluster = Cluster(
            lambda namespace, name: self._cache.get(SERVICES, namespace, name),
            self._endpoints,
            self._pairs,
        )
        try:
            sites = plan_sites(ingresses, cluster, self._where.ports)
            sites = merged(sites, plan_gateways(gateways, cluster))
            if not sites:
                await self._proxy.stop()
            elif await self._proxy.serve(plan_files(sites, self._where)):
                log.info("ingresses and gateways are served on ports %s", sorted(sites))
            self._said = ""
        except (HaproxyError, OSError) as error:
            if str(error) != self._said:
                self._said = str(error)
                log.warning("ingresses are not served: %s", error)
            return False
        return True

    async def keep_gateways(self) -> None:
        """Follow the Gateway API's objects too, once there are such; until cancelled."""
        if self._gateways is not None:
            await self._gateways.run(self._wake.set)

    def _is_needed(self) -> bool:
        return any(True for _ in self._cache.list(INGRESSES)) or bool(
            self._seen_gateways().gateways
        )

    def _seen_gateways(self) -> Gateways:
        seen = self._gateways.seen() if self._gateways is not None else None
        return seen or Gateways((), (), (), (), {})

    def _ours(self) -> list[Obj]:
        classes = tuple(self._cache.list(CLASSES))
        return [i for i in self._cache.list(INGRESSES) if is_ours(i, classes)]

    def _endpoints(self, service: Obj, port_name: str) -> Iterable[tuple[str, int]]:
        key = f"{namespace_of(service)}/{name_of(service)}"
        return ready_addresses(self._cache.with_index(SLICES, SERVICE_INDEX, key), port_name)

    async def _read_secrets(self, wanted: set[Secret]) -> None:
        """What could be read before is kept while it cannot be read again."""
        found: dict[Secret, bytes] = {}
        for secret in sorted(wanted):
            pair = await self._read_secret(secret)
            if pair is not None:
                found[secret] = pair
        self._pairs = found

    async def _read_secret(self, secret: Secret) -> bytes | None:
        namespace, name = secret
        known = self._pairs.get(secret)
        if self._client is None:
            return None
        try:
            data = (await self._client.get("secrets", name, namespace=namespace)).get("data") or {}
        except NotFound:
            return None
        except ApiError as error:
            log.warning("the certificate in secret %s/%s: %s", namespace, name, error.message)
            return known
        try:
            pem = (
                b"\n".join(base64.b64decode(data[part]) for part in ("tls.crt", "tls.key")) + b"\n"
            )
            await asyncio.to_thread(_check_pair, pem)
        except (KeyError, binascii.Error, ssl.SSLError, ValueError) as error:
            log.warning("secret %s/%s is no certificate with its key: %s", namespace, name, error)
            return None
        return pem


def _check_pair(pem: bytes) -> None:
    """Raises ssl.SSLError: the proxy would refuse its whole configuration for such a pair."""
    with tempfile.NamedTemporaryFile(prefix="sagong-") as file:  # 0600
        file.write(pem)
        file.flush()
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file.name)
