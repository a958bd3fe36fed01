"""Keep the node's table of policies of one family in step with NetworkPolicies, Namespaces, Pods.

Reads: NetworkPolicy, Namespace, and every Pod of the cluster, which are followed from the first
policy on.  Writes: the ``sagong-policy`` table, which is there only while there is a policy.

Invariant: nothing is written before all pods are known. Until then the table of an earlier process
stands, which lets through what it let through.
"""

import asyncio
import logging
from collections.abc import Mapping

from sagong.api.meta import key_of, labels_of
from sagong.api.types import Key, Obj
from sagong.core.clock import Clock
from sagong.ctl.controller import Cache, Watch
from sagong.network.policy.book import PolicyBook
from sagong.network.policy.model import PodFacts, pod_facts, policy_of
from sagong.network.policy.rules import frame
from sagong.network.tables.family import IPV4, Family
from sagong.network.tables.nft import Nft, NftError
from sagong.network.tables.writer import Health, TableWriter

log = logging.getLogger(__name__)

TABLE = "sagong-policy"
POLICIES = "networkpolicies.networking.k8s.io"
NAMESPACES = "namespaces"
PODS = "pods"
REMOVAL_RETRY_SECONDS = 5.0

WATCHES = (Watch(POLICIES), Watch(NAMESPACES))


class PolicyEnforcer:
    """Tell it of every change with ``changed`` after the caches have it; ``run`` does the rest."""

    def __init__(
        self,
        cache: Cache,
        pods: Cache,
        node_name: str,
        *,
        nft: Nft,
        clock: Clock,
        family: Family = IPV4,
    ) -> None:
        """``pods`` knows the pods of all nodes once ``pods_known`` is set."""
        self._cache = cache
        self._pods = pods
        self._node_name = node_name
        self.family = family
        self._table = TableWriter(TABLE, frame(family), nft=nft, clock=clock, family=family)
        self._book = PolicyBook(node_name, self._table.ruleset, family)
        self._dirty: dict[tuple[str, Key], None] = {}
        # Pods of this node with an address that the API does not know yet.
        self._starting: dict[Key, PodFacts] = {}
        self._lock = asyncio.Lock()  # one sync at a time
        self._is_written = True  # there may be a table of an earlier process
        # Set from the first policy on: then all pods are wanted.
        self.pods_wanted = asyncio.Event()
        self.pods_known = asyncio.Event()

    @property
    def health(self) -> Health:
        return self._table.health

    def changed(self, resource: str, old: Obj | None, new: Obj | None) -> None:
        """A policy, a namespace or a pod of any node was added, changed or removed. Never waits."""
        obj = new or old
        assert obj is not None
        self._dirty[resource, key_of(obj)] = None
        if resource == POLICIES:
            self.pods_wanted.set()
        if resource == PODS and (new is None or (new.get("status") or {}).get("podIP")):
            self._starting.pop(key_of(obj), None)
        self._table.wake()

    async def isolate(self, pod: Obj, ip: str) -> None:
        """Guard a pod of this node whose address the API does not know yet, before it starts."""
        facts = pod_facts({**pod, "status": {"podIP": ip}}, self.family)
        if facts is None or not self.pods_known.is_set():
            return
        self._starting[facts.key] = facts
        self._dirty[PODS, facts.key] = None
        await self.sync()

    async def run(self) -> None:
        """Write the whole table, then every change. The cache must have synced before."""
        if not self._has_policies():
            await self._remove()
        await self.pods_wanted.wait()
        await self.pods_known.wait()
        self._table.wake()
        while True:
            await self._table.wait()
            await self.sync()

    async def sync(self) -> bool:
        """Bring the kernel up to date now. False if nft refused; then the next try is full."""
        async with self._lock:
            self.plan_nowait()
            if not self._book.has_policies:
                return await self._remove()
            self._is_written = True
            return await self._table.write()

    def plan_nowait(self) -> PolicyBook:
        """Bring the plan up to date with the caches; the kernel gets it at a sync."""
        dirty, self._dirty = self._dirty, {}
        for resource, key in dirty:
            if resource == POLICIES:
                policy = self._cache.get(POLICIES, key.namespace, key.name)
                self._book.put_policy(
                    key, policy_of(policy, self.family) if policy is not None else None
                )
            elif resource == NAMESPACES:
                self._book.put_namespace(key.name, self._labels_of(key.name))
            else:
                self._book.put_pod(key, self._facts(key))
        return self._book

    def _has_policies(self) -> bool:
        return any(True for _ in self._cache.list(POLICIES))

    def _labels_of(self, namespace: str) -> Mapping[str, str] | None:
        found = self._cache.get(NAMESPACES, "", namespace)
        return labels_of(found) if found is not None else None

    def _facts(self, key: Key) -> PodFacts | None:
        pod = self._pods.get(PODS, key.namespace, key.name)
        known = pod_facts(pod, self.family) if pod is not None else None
        return known or self._starting.get(key)

    async def _remove(self) -> bool:
        if not self._is_written:
            return True
        try:
            await self._table.remove()
        except NftError as error:
            log.warning("the table of policies cannot be removed: %s", error)
            return False
        self._is_written = False
        return True
