"""The enforcers of a node's address families, as one."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping

from sagong.api.types import Obj
from sagong.network.policy.counters import dropped_packets
from sagong.network.policy.enforcer import PolicyEnforcer
from sagong.network.tables.nft import Nft
from sagong.network.tables.writer import Health, worst


class PolicyEnforcers:
    """They hear the same and write a table each; each is run by itself."""

    def __init__(self, each: Collection[PolicyEnforcer]) -> None:
        self.each = tuple(each)

    @property
    def health(self) -> Health:
        return worst(enforcer.health for enforcer in self.each)

    @property
    def pods_wanted(self) -> asyncio.Event:
        """Set from the first policy on; of the first as of all."""
        return self.each[0].pods_wanted

    def set_pods_known(self) -> None:
        for enforcer in self.each:
            enforcer.pods_known.set()

    def changed(self, resource: str, old: Obj | None, new: Obj | None) -> None:
        for enforcer in self.each:
            enforcer.changed(resource, old, new)

    async def isolate(self, pod: Obj, ip: str) -> None:
        """Guard a pod of this node whose address the API does not know yet, before it starts."""
        for enforcer in self.each:
            if enforcer.family.has(ip):
                await enforcer.isolate(pod, ip)

    async def sync(self) -> None:
        for enforcer in self.each:
            await enforcer.sync()

    async def dropped_packets(self) -> Mapping[str, int]:
        """By direction, of all families."""
        found: Counter[str] = Counter()
        for enforcer in self.each:
            found.update(await dropped_packets(Nft(), enforcer.family))
        return found
