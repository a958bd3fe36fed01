"""``/containerLogs/{namespace}/{pod}/{container}``."""

from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from sagong.api.log_options import log_options
from sagong.core.clock import Clock
from sagong.node.server.log_files import read_log
from sagong.node.server.pods import Pods, has_container, logged_container
from sagong.node.server.refusals import Refusal


@dataclass(frozen=True, slots=True)
class ContainerLogs:
    """The endpoint. A client that goes away ends its reader at the next write."""

    pods: Pods
    clock: Clock

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The log as a stream. Raises Refusal."""
        namespace, name, container = (
            request.match_info[key] for key in ("namespace", "pod", "container")
        )
        options = log_options(request.query, pod=name, now=self.clock.now())
        pod = self.pods.find(namespace, name)
        if pod is None:
            raise Refusal(404, f'pod "{name}" does not exist\n')
        if not has_container(pod, container):
            raise Refusal(404, f'container "{container}" not found in pod "{name}"\n')
        uid = pod["metadata"]["uid"]
        # No look at the runtime here: what the pod's status says came from what was seen already.
        meant = logged_container(pod, self.pods.seen(pod), container, previous=options.previous)
        blocks = read_log(
            Path(meant.log_path),
            options,
            # A quiet log is not written to, so only this tells that its client has gone.
            is_running=lambda: (
                request.transport is not None and self.pods.is_running(uid, meant.id)
            ),
        )
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        try:
            first = await anext(blocks, b"")
        except FileNotFoundError as error:
            raise Refusal(500, f"failed to open log file {meant.log_path!r}\n") from error
        try:
            await response.prepare(request)
            if first:
                await response.write(first)
            async for block in blocks:
                await response.write(block)
            await response.write_eof()
        finally:
            await blocks.aclose()
        return response
