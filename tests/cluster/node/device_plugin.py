"""A device plugin as vendors write them: it serves a socket and registers it with the agent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio

from sagong.node.devices.pool import messages

RESOURCE = "example.com/widget"


@dataclass
class DevicePlugin:
    directory: Path  # the agent's, with its socket
    devices: dict[str, str]
    prepared: list[list[str]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def set_health(self, device: str, health: str) -> None:
        self.devices[device] = health
        self.changed.set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((self._handlers(),))
        server.add_insecure_port(f"unix://{self.directory / 'widget.sock'}")
        await server.start()
        try:
            await self._register()
            yield
        finally:
            await server.stop(0)

    async def _register(self) -> None:
        found = messages()
        async with grpc.aio.insecure_channel(
            f"unix://{self.directory / 'kubelet.sock'}"
        ) as channel:
            call = channel.unary_unary(
                "/v1beta1.Registration/Register",
                request_serializer=found.message_class("RegisterRequest").SerializeToString,
                response_deserializer=found.message_class("Empty").FromString,
            )
            request = found.make(
                "RegisterRequest",
                version="v1beta1",
                endpoint="widget.sock",
                resource_name=RESOURCE,
                options={"pre_start_required": True, "get_preferred_allocation_available": True},
            )
            await call(request, wait_for_ready=True, timeout=10)

    def _handlers(self) -> grpc.GenericRpcHandler:
        found = messages()
        handlers = {}
        for method, (request, response, stream) in found.methods("DevicePlugin").items():
            make = (
                grpc.unary_stream_rpc_method_handler
                if stream
                else grpc.unary_unary_rpc_method_handler
            )
            handlers[method] = make(
                getattr(self, method),
                request_deserializer=found.message_class(request).FromString,
                response_serializer=found.message_class(response).SerializeToString,
            )
        return grpc.method_handlers_generic_handler("v1beta1.DevicePlugin", handlers)

    async def GetDevicePluginOptions(self, request: Any, context: Any) -> Any:
        return messages().make("DevicePluginOptions", pre_start_required=True)

    async def ListAndWatch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        while True:
            self.changed.clear()
            near = {"nodes": [{"ID": 0}]}
            listed = [
                {"ID": name, "health": health, "topology": near}
                for name, health in self.devices.items()
            ]
            yield messages().make("ListAndWatchResponse", devices=listed)
            await self.changed.wait()

    async def GetPreferredAllocation(self, request: Any, context: Any) -> Any:
        """The last ones by name."""
        (asked,) = request.container_requests
        ids = sorted(asked.available_deviceIDs)[-asked.allocation_size :]
        return messages().make(
            "PreferredAllocationResponse", container_responses=[{"deviceIDs": ids}]
        )

    async def Allocate(self, request: Any, context: Any) -> Any:
        (asked,) = request.container_requests
        answer = {
            "envs": {"WIDGETS": ",".join(sorted(asked.devices_ids))},
            "devices": [
                {"container_path": "/dev/widget", "host_path": "/dev/null", "permissions": "rw"}
            ],
            "mounts": [
                {"container_path": "/widgets", "host_path": str(self.directory), "read_only": True}
            ],
            "annotations": {"example.com/widget": "given"},
        }
        return messages().make("AllocateResponse", container_responses=[answer])

    async def PreStartContainer(self, request: Any, context: Any) -> Any:
        self.prepared.append(sorted(request.devices_ids))
        return messages().make("PreStartContainerResponse")
