"""Whether the store answers and the caches keep up with it: health checks of upstream's names."""

import asyncio

from sagong.server.caches import Caches
from sagong.server.endpoints.health import Check
from sagong.store.errors import StoreError
from sagong.store.interface import Store

# Upstream's --etcd-healthcheck-timeout and --etcd-readycheck-timeout.
ANSWER_SECONDS_MAX = 2.0


def store_check(store: Store) -> Check:
    """``etcd``: whatever the store is, this is the name that probes and dashboards ask for."""

    async def check() -> str | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                await store.current_revision()
        except (StoreError, TimeoutError) as error:
            return f"the store does not answer: {error}"
        return None

    return check


def cache_check(store: Store, caches: Caches) -> Check:
    """``informer-sync``: what the store holds is in the caches."""

    async def check() -> str | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                await caches.wait_revision(await store.current_revision())
        except (StoreError, TimeoutError):
            return "the caches are behind the store"
        return None

    return check
