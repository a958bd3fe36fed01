"""``POST /checkpoint``: a running container's state as a file of this node, by the runtime."""

from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from aiohttp import web

from sagong.core.clock import Clock
from sagong.node.agent import NodeAgent
from sagong.node.cri.client import CALL_SECONDS
from sagong.node.cri.errors import RuntimeFailure
from sagong.node.server.pods import Pods, has_container
from sagong.node.server.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Handles the one path. The texts are upstream's."""

    agent: NodeAgent
    pods: Pods
    clock: Clock

    async def handle(self, request: web.Request) -> web.Response:
        namespace, name, container = (
            request.match_info[key] for key in ("namespace", "pod", "container")
        )
        pod = self.pods.find(namespace, name)
        if pod is None:
            raise Refusal(404, "pod does not exist")
        if not has_container(pod, container):
            raise Refusal(404, f"container {container} does not exist")
        seconds = _seconds(request)
        location = self._location(namespace, name, container)
        try:
            meant = self.pods.running_container(pod, container)
            await self.agent.cri.call(
                "CheckpointContainer",
                deadline_seconds=seconds + CALL_SECONDS,
                container_id=meant.id,
                location=location,
                timeout=seconds,
            )
        except (RuntimeFailure, Refusal) as error:
            text = f"checkpointing of {namespace}/{name}/{container} failed ({error})"
            raise Refusal(500, text) from error
        body = orjson.dumps({"items": [location]})
        return web.Response(body=body, headers={"Content-Type": "application/json"})

    def _location(self, namespace: str, name: str, container: str) -> str:
        directory = self.agent.config.data_dir / "checkpoints"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        now = datetime.fromtimestamp(self.clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return str(directory / f"checkpoint-{name}_{namespace}-{container}-{now}.tar")


def _seconds(request: web.Request) -> int:
    """The last ``timeout``; 0 is the runtime's own."""
    given = request.query.getall("timeout", ["0"])[-1]
    try:
        return max(0, int(given))
    except ValueError:
        raise Refusal(404, "cannot parse value of timeout parameter") from None
