"""Where device plugins announce themselves: ``<data>/device-plugins/kubelet.sock``.

A plugin that sees this socket anew (the agent began again) registers anew.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from sagong.core.tasks import Tasks, task_group
from sagong.node.devices.pool import DevicePool, messages

log = logging.getLogger(__name__)

SOCKET = "kubelet.sock"
VERSION = "v1beta1"


@dataclass(slots=True)
class DeviceRegistration:
    """One an agent."""

    pool: DevicePool

    async def run(self) -> None:
        """Serve until cancelled."""
        directory = self.pool.directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        (directory / SOCKET).unlink(missing_ok=True)
        async with task_group() as tasks:
            server = grpc.aio.server()
            server.add_generic_rpc_handlers((self._handler(tasks),))
            server.add_insecure_port(f"unix://{directory / SOCKET}")
            await server.start()
            try:
                await asyncio.Event().wait()
            finally:
                await server.stop(0)

    def _handler(self, tasks: Tasks) -> grpc.GenericRpcHandler:
        found = messages()

        async def register(request: Any, context: Any) -> Any:
            if request.version != VERSION:
                text = f"unsupported version: {request.version}; supported: [{VERSION}]"
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
            if "/" not in request.resource_name:
                text = f"invalid resource name: {request.resource_name!r}"
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
            log.info("device plugin of %s at %s", request.resource_name, request.endpoint)
            await self.pool.follow(
                tasks,
                request.resource_name,
                request.endpoint,
                pre_start=request.options.pre_start_required,
                prefers=request.options.get_preferred_allocation_available,
            )
            return found.make("Empty")

        method = grpc.unary_unary_rpc_method_handler(
            register,
            request_deserializer=found.message_class("RegisterRequest").FromString,
            response_serializer=found.message_class("Empty").SerializeToString,
        )
        return grpc.method_handlers_generic_handler("v1beta1.Registration", {"Register": method})
