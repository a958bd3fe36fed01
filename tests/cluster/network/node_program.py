"""A node's network in a process of its own, told over standard input what the API would say.

One JSON object a line: ``{"resource": ..., "old": ..., "new": ...}`` changes the cache; ``{"sync":
true}`` waits for the kernel; ``{"remove": true}`` takes everything away and ends. Each line is
answered by one line.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Iterable
from pathlib import Path

from sagong.api.types import Obj
from sagong.core.clock import SystemClock
from sagong.core.tasks import task_group
from sagong.ctl.controller import Watch
from sagong.ctl.indexed import OWNER_UID, Objects
from sagong.network.agent import PODS, WATCHES, NetworkConfig, NodeNetwork, remove_network
from sagong.network.routes.tunnel import Encapsulation


class ToldCache:
    """The objects that this process was told of, kept as the informer keeps them."""

    def __init__(self) -> None:
        self._resources: dict[str, Objects] = {}
        for watch in (*WATCHES, Watch(PODS)):
            objects = self._resources.setdefault(watch.resource, Objects())
            for name, index in watch.indexes.items():
                objects.add_index(name, index)

    def put(self, resource: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._resources[resource].put(new)
        elif old is not None:
            self._resources[resource].remove(old)

    def get(self, resource: str, namespace: str, name: str) -> Obj | None:
        return self._resources[resource].get(namespace, name)

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Obj]:
        return self._resources[resource].list(namespace)

    def owned_by(self, resource: str, owner_uid: str) -> Iterable[Obj]:
        return self._resources[resource].with_index(OWNER_UID, owner_uid)

    def with_index(self, resource: str, index: str, value: str) -> Iterable[Obj]:
        return self._resources[resource].with_index(index, value)

    def count(self, resource: str, index: str | None = None, value: str = "") -> int:
        objects = self._resources[resource]
        return len(objects) if index is None else objects.count(index, value)


async def main() -> None:
    node, directory, settings = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    cache = ToldCache()
    config = NetworkConfig(
        node_name=node,
        state_dir=directory / "state",
        cni_conf_dir=directory / "cni",
        encapsulation=Encapsulation(settings.pop("encapsulation", "auto")),
        **{k: Path(v) if k == "resolv_conf" else v for k, v in settings.items()},
    )
    network = NodeNetwork(config, cache, clock=SystemClock())
    reader = asyncio.StreamReader(limit=1 << 24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with task_group() as tasks:
        running = tasks.start(network.run(), name="network")
        while line := await reader.readline():
            command = json.loads(line)
            if "resource" in command:
                cache.put(command["resource"], command["old"], command["new"])
                network.changed(command["resource"], command["old"], command["new"])
            elif command.get("sync"):
                await network.sync()
            elif command.get("remove"):
                running.cancel()
                await asyncio.wait([running])
                await remove_network(config)
            print("ok" if not running.done() or command.get("remove") else "dead", flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
