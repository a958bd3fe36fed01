"""A DRA driver of our own: devices are variables and /dev/null under another name.

It serves the registration and the kubelet's services as a driver's containers do, describes its
devices in CDI files, keeps what it was told, and fails on request.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from tests.cluster.plugin_sockets import both_sockets, handlers

from sagong.node.dra.driver import dra_messages, health_messages
from sagong.node.plugins.registry import registration_messages

NAME = "gadget.example.com"
KIND = "example.com/gadget"


@dataclass
class DraDriver:
    """One driver on one node; ``calls`` has (method, names of claims) in order."""

    directory: Path
    cdi_dir: Path
    devices: dict[str, tuple[str, ...]]  # claim: its devices, as "request:device"
    version: str = "v1"
    name: str = NAME
    calls: list[tuple[str, list[str]]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)  # claim: what to say
    told: list[tuple[bool, str]] = field(default_factory=list)  # registration status
    health: dict[str, str] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def describe(self, *devices: str) -> None:
        """Write the CDI file."""
        listed = [
            {
                "name": device,
                "containerEdits": {
                    "env": [f"GADGET_{device.upper()}=here"],
                    "deviceNodes": [{"path": f"/dev/{device}", "hostPath": "/dev/null"}],
                    "mounts": [
                        {"hostPath": str(self.cdi_dir), "containerPath": "/cdi", "options": ["ro"]}
                    ],
                },
            }
            for device in devices
        ]
        spec = {"cdiVersion": "0.6.0", "kind": KIND, "devices": listed}
        self.cdi_dir.mkdir(parents=True, exist_ok=True)
        (self.cdi_dir / "gadget.json").write_text(json.dumps(spec))

    def set_health(self, device: str, health: str) -> None:
        self.health[device] = health
        self.changed.set()

    @contextlib.asynccontextmanager
    async def serving(self, registry: Path) -> AsyncIterator[None]:
        """Both sockets; the registration's lies in ``registry`` while the block runs."""
        endpoint, registration = self.directory / "dra.sock", registry / f"{self.name}-reg.sock"
        services = [
            handlers(dra_messages(self.version), "DRAPlugin", self._answer),
            _health_handler(self),
        ]
        async with both_sockets(endpoint, services, registration, self._answer):
            yield

    def _answer(self, method: str, request: Any, context: Any) -> Any:
        return getattr(self, method)(request)

    def GetInfo(self, request: Any) -> Any:
        return registration_messages().make(
            "PluginInfo",
            type="DRAPlugin",
            name=self.name,
            endpoint=str(self.directory / "dra.sock"),
            supported_versions=[f"{self.version}.DRAPlugin", "v1alpha1.DRAResourceHealth"],
        )

    def NotifyRegistrationStatus(self, request: Any) -> Any:
        self.told.append((request.plugin_registered, request.error))
        return registration_messages().make("RegistrationStatusResponse")

    def NodePrepareResources(self, request: Any) -> Any:
        self.calls.append(("prepare", [claim.name for claim in request.claims]))
        claims = {claim.uid: self._prepared(claim.name) for claim in request.claims}
        return dra_messages(self.version).make("NodePrepareResourcesResponse", claims=claims)

    def _prepared(self, claim: str) -> Any:
        listed = []
        for text in self.devices[claim]:
            request, _, device = text.partition(":")
            names = {"pool_name": "pool", "device_name": device, "request_names": [request]}
            listed.append({**names, "cdi_device_ids": [f"{KIND}={device}"]})
        return dra_messages(self.version).make(
            "NodePrepareResourceResponse", devices=listed, error=self.failures.get(claim)
        )

    def NodeUnprepareResources(self, request: Any) -> Any:
        self.calls.append(("unprepare", [claim.name for claim in request.claims]))
        made = dra_messages(self.version)
        claims = {claim.uid: made.make("NodeUnprepareResourceResponse") for claim in request.claims}
        return made.make("NodeUnprepareResourcesResponse", claims=claims)

    async def watch_health(self, request: Any, context: Any) -> AsyncIterator[Any]:
        while True:
            self.changed.clear()
            found = health_messages()
            yield found.make(
                "NodeWatchResourcesResponse",
                devices=[
                    {
                        "device": {"pool_name": "pool", "device_name": device},
                        "health": found.enum_number("HealthStatus", health),
                        "message": f"is {health.lower()}",
                    }
                    for device, health in self.health.items()
                ],
            )
            await self.changed.wait()


def _health_handler(driver: DraDriver) -> grpc.GenericRpcHandler:
    found = health_messages()
    handler = grpc.unary_stream_rpc_method_handler(
        driver.watch_health,
        request_deserializer=found.message_class("NodeWatchResourcesRequest").FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
    return grpc.method_handlers_generic_handler(
        "v1alpha1.DRAResourceHealth", {"NodeWatchResources": handler}
    )
