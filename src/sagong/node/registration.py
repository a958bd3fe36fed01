"""The node at the API: its Node object, its status, its Lease."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sagong.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from sagong.api.meta import deep_copy
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.clock import Clock, format_micro_time
from sagong.core.ids import Ids
from sagong.node.config import NodeConfig
from sagong.node.machine import Machine
from sagong.node.node_object import differs, initial_node, node_annotations, node_labels

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
ATTEMPTS = 5  # upstream's nodeStatusUpdateRetry
RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Registration:
    """Writes of the agent about its own node."""

    config: NodeConfig
    client: Client
    clock: Clock
    ids: Ids

    async def register(self, machine: Machine) -> Obj:
        """Create the Node, or take over the one that is there. Retried until it succeeds."""
        while True:
            try:
                return await self._register_once(machine)
            except ApiError as error:
                log.warning("cannot register node %s yet: %s", self.config.name, error)
                await asyncio.sleep(RETRY_SECONDS * (1 + self.ids.random()))

    async def _register_once(self, machine: Machine) -> Obj:
        try:
            return await self.client.create("nodes", initial_node(self.config, machine))
        except AlreadyExists:
            node = await self.client.get("nodes", self.config.name)
        wanted = {
            "labels": dict(node_labels(self.config, machine)),
            "annotations": dict(node_annotations(self.config)),
        }
        current = node["metadata"]
        if all(wanted[field].items() <= (current.get(field) or {}).items() for field in wanted):
            return node
        patch = {"metadata": wanted}
        return await self.client.patch("nodes", self.config.name, patch)

    async def write_status(
        self, make: Callable[[Obj], Awaitable[Obj]], *, unless_same: bool
    ) -> None:
        """Replace the status by ``make(old)``; with ``unless_same`` only if it tells anything new.

        Raises ApiError after some attempts.
        """
        for attempt in range(ATTEMPTS):
            node = await self.client.get("nodes", self.config.name)
            old = node.get("status") or {}
            new = await make(old)
            if unless_same and not differs(new, old):
                return
            try:
                await self.client.update("nodes", {**node, "status": new}, subresource="status")
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
                continue
            return

    async def renew_lease(self, node: Obj) -> None:
        """Create or renew the node's Lease. Raises ApiError."""
        now = format_micro_time(self.clock.now())
        try:
            lease = await self.client.get(
                "leases.coordination.k8s.io", self.config.name, namespace=LEASE_NAMESPACE
            )
        except NotFound:
            await self.client.create("leases.coordination.k8s.io", self._lease(node, now))
            return
        renewed = deep_copy(lease)
        renewed["spec"] = {**(lease.get("spec") or {}), **self._lease_spec(now)}
        await self.client.update("leases.coordination.k8s.io", renewed)

    def _lease_spec(self, now: str) -> Obj:
        return {
            "holderIdentity": self.config.name,
            "leaseDurationSeconds": self.config.lease_seconds,
            "renewTime": now,
        }

    def _lease(self, node: Obj, now: str) -> Obj:
        metadata = node["metadata"]
        owner = {"apiVersion": "v1", "kind": "Node"}
        owner |= {"name": metadata["name"], "uid": metadata["uid"]}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self.config.name,
                "namespace": LEASE_NAMESPACE,
                "ownerReferences": [owner],
            },
            "spec": self._lease_spec(now),
        }
