"""The pod resources API (``podresources/v1``): which pod has which devices and processors, for
monitoring agents.

Served at ``<data>/pod-resources/kubelet.sock``, to root only.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from sagong.api.pods import is_finished
from sagong.api.types import Obj
from sagong.core.protobuf import MessageSet
from sagong.node.alignment.aligner import Aligner
from sagong.node.devices.pool import DevicePool
from sagong.node.dra.claims import PodClaims, Use
from sagong.node.pods.model import Kind
from sagong.node.pods.spec import all_containers, is_sidecar

SERVICE = "v1.PodResourcesLister"
SOCKET = "kubelet.sock"


@cache
def messages() -> MessageSet:
    return MessageSet.load("v1", __package__, "podresources_v1.json")


@dataclass(frozen=True, slots=True)
class PodResources:
    """One an agent."""

    directory: Path
    pool: DevicePool
    aligner: Aligner
    claims: PodClaims
    pods: Callable[[], Sequence[Obj]]

    async def run(self) -> None:
        """Serve until cancelled."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        socket = self.directory / SOCKET
        socket.unlink(missing_ok=True)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((self._handler(),))
        server.add_insecure_port(f"unix://{socket}")
        await server.start()
        try:
            await asyncio.Event().wait()
        finally:
            await server.stop(0)

    def _handler(self) -> grpc.GenericRpcHandler:
        found, answers = messages(), {}
        deeds = {"List": self._list, "Get": self._get, "GetAllocatableResources": self._offered}
        for method, (request, response, _) in found.methods("PodResourcesLister").items():
            answers[method] = grpc.unary_unary_rpc_method_handler(
                deeds[method],
                request_deserializer=found.message_class(request).FromString,
                response_serializer=found.message_class(response).SerializeToString,
            )
        return grpc.method_handlers_generic_handler(SERVICE, answers)

    async def _list(self, request: Any, context: Any) -> Any:
        live = [self._of(pod) for pod in self.pods() if not is_finished(pod)]
        return messages().make("ListPodResourcesResponse", pod_resources=live)

    async def _get(self, request: Any, context: Any) -> Any:
        for pod in self.pods():
            metadata = pod["metadata"]
            if (metadata["namespace"], metadata["name"]) == (
                request.pod_namespace,
                request.pod_name,
            ):
                return messages().make("GetPodResourcesResponse", pod_resources=self._of(pod))
        text = f"pod {request.pod_name} in namespace {request.pod_namespace} not found"
        await context.abort(grpc.StatusCode.UNKNOWN, text)
        raise AssertionError("abort raises")

    async def _offered(self, request: Any, context: Any) -> Any:
        devices = [
            self._devices(resource, [device])
            for resource, ids in sorted(self.pool.healthy().items())
            for device in ids
        ]
        memory = [
            {"memory_type": name, "size": size, "topology": _at([node])}
            for node, kinds in sorted(self.aligner.memory.allocatable().items())
            for name, size in sorted(kinds.items())
            if size
        ]
        return messages().make(
            "AllocatableResourcesResponse",
            devices=devices,
            cpu_ids=sorted(self.aligner.cpus.allocatable()),
            memory=memory,
        )

    def _of(self, pod: Obj) -> Obj:
        metadata = pod["metadata"]
        containers = [self._container(pod, container) for container in _lasting(pod)]
        return {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "containers": containers,
        }

    def _container(self, pod: Obj, container: Obj) -> Obj:
        uid, name = str(pod["metadata"]["uid"]), container["name"]
        devices = [
            self._devices(resource, ids)
            for resource, ids in sorted(self.pool.granted(uid, name).items())
        ]
        memory = [
            {"memory_type": b.type, "size": b.size, "topology": _at(sorted(b.nodes))}
            for b in self.aligner.memory.own(uid, name)
        ]
        cpus = sorted(self.aligner.cpus.own(uid, name))
        dynamic = [_dynamic(use) for use in self.claims.uses(pod, container)]
        found: Obj = {"name": name, "devices": devices, "cpu_ids": cpus, "memory": memory}
        return {**found, "dynamic_resources": dynamic}

    def _devices(self, resource: str, ids: Sequence[str]) -> Obj:
        found: Obj = {"resource_name": resource, "device_ids": list(ids)}
        if near := self.pool.near(resource, ids):
            found["topology"] = _at(near)
        return found


def _dynamic(use: Use) -> Obj:
    claim = use.record.claim
    resources = [
        {
            "cdi_devices": [{"name": name} for name in device.cdi_ids],
            "driver_name": driver,
            "pool_name": device.pool,
            "device_name": device.device,
            "share_id": device.share,
        }
        for driver, device in use.devices()
    ]
    names = {"claim_name": claim.name, "claim_namespace": claim.namespace}
    return {**names, "claim_resources": resources}


def _at(nodes: Sequence[int]) -> Obj:
    return {"nodes": [{"ID": node} for node in nodes]}


def _lasting(pod: Obj) -> Iterator[Obj]:
    """Sidecars and main containers: those that last."""
    for kind, container in all_containers(pod):
        if kind is Kind.MAIN or (kind is Kind.INIT and is_sidecar(container)):
            yield container
