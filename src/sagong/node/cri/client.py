"""The typed client of a CRI runtime: RuntimeService and ImageService over one Unix socket.

Each method has a deadline, takes and returns messages of ``messages.py``, and raises
``cri.errors`` only.
"""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from typing import Any

import grpc.aio

from sagong.node.cri.errors import RuntimeFailure, translate
from sagong.node.cri.messages import PACKAGE, make, message_class, methods

LIST_SECONDS = 30.0  # what the node's status waits for
CALL_SECONDS = 120.0  # upstream's runtimeRequestTimeout
SANDBOX_SECONDS = 240.0  # RunPodSandbox waits for CNI plugins; upstream doubles the timeout
PULL_SECONDS = 3600.0  # bounded only so that a lost runtime is noticed
# Calls that start processes. More at once than keep the processors busy take longer in all: 30 pods
# started 40 % slower when all came at once than six at a time, on two processors. Waiting for a
# container to end is not among them, so that a long grace keeps nobody waiting.
HEAVY_PER_CPU = 3
_STARTING = ("RunPodSandbox", "CreateContainer", "StartContainer")
_STOPPING = ("StopPodSandbox", "RemovePodSandbox", "RemoveContainer")
_UNBOUNDED = contextlib.nullcontext()
_MESSAGE_BYTES_MAX = 16 * 1024 * 1024  # containerd's own bound


class CriClient:
    """One connection. Use as ``async with``, or ``close()`` it."""

    def __init__(self, endpoint: str) -> None:
        """``endpoint`` is ``unix:///path``."""
        options = [
            ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
            # After a restart of the runtime, look again soon: the default back-off grows to 120 s.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]
        self._channel = grpc.aio.insecure_channel(endpoint, options=options)
        at_once = max(4, HEAVY_PER_CPU * (os.cpu_count() or 1))
        starting, stopping = asyncio.Semaphore(at_once), asyncio.Semaphore(at_once)
        self._bounds = dict.fromkeys(_STARTING, starting) | dict.fromkeys(_STOPPING, stopping)
        self._calls = {
            **self._unary_calls("RuntimeService"),
            **self._unary_calls("ImageService"),
        }

    def _unary_calls(self, service: str) -> dict[str, Any]:
        calls = {}
        for method, (request, response, stream) in methods(service).items():
            if stream:
                continue
            calls[method] = self._channel.unary_unary(
                f"/{PACKAGE}.{service}/{method}",
                request_serializer=message_class(request).SerializeToString,
                response_deserializer=message_class(response).FromString,
            )
        return calls

    async def __aenter__(self) -> "CriClient":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

    @property
    def channel(self) -> grpc.aio.Channel:
        """For services beside the CRI at the same socket (containerd's events)."""
        return self._channel

    async def call(
        self, method: str, *, deadline_seconds: float = CALL_SECONDS, **fields: Any
    ) -> Any:
        """Any unary call of either service, as ``call("Version")``."""
        request = make(f"{_REQUEST_NAMES.get(method, method)}Request", **fields)
        try:
            async with self._bounds.get(method, _UNBOUNDED):
                return await self._calls[method](request, timeout=deadline_seconds)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error

    async def version(self) -> Any:
        """VersionResponse: runtime_name, runtime_version."""
        return await self.call("Version", deadline_seconds=10.0, version="v1")

    async def status(self) -> Any:
        """RuntimeStatus with the conditions RuntimeReady and NetworkReady."""
        return (await self.call("Status", deadline_seconds=10.0)).status

    async def run_sandbox(self, config: Any, *, handler: str = "") -> str:
        """Create and start a sandbox, its network included; its id."""
        answer = await self.call(
            "RunPodSandbox",
            deadline_seconds=SANDBOX_SECONDS,
            config=config,
            runtime_handler=handler,
        )
        return str(answer.pod_sandbox_id)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Kill its containers and release its network; may be repeated."""
        await self.call("StopPodSandbox", pod_sandbox_id=sandbox_id)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Remove a stopped sandbox with its containers; may be repeated."""
        await self.call("RemovePodSandbox", pod_sandbox_id=sandbox_id)

    async def sandbox_status(self, sandbox_id: str) -> Any:
        """PodSandboxStatus. Raises RuntimeNotFound."""
        return (await self.call("PodSandboxStatus", pod_sandbox_id=sandbox_id)).status

    async def list_sandboxes(self) -> Sequence[Any]:
        return list((await self.call("ListPodSandbox")).items)

    async def create_container(self, sandbox_id: str, config: Any, sandbox_config: Any) -> str:
        answer = await self.call(
            "CreateContainer",
            pod_sandbox_id=sandbox_id,
            config=config,
            sandbox_config=sandbox_config,
        )
        return str(answer.container_id)

    async def start_container(self, container_id: str) -> None:
        await self.call("StartContainer", container_id=container_id)

    async def stop_container(self, container_id: str, *, grace_seconds: int) -> None:
        """The stop signal, then SIGKILL after the grace; returns when it has ended."""
        await self.call(
            "StopContainer",
            deadline_seconds=grace_seconds + CALL_SECONDS,
            container_id=container_id,
            timeout=grace_seconds,
        )

    async def remove_container(self, container_id: str) -> None:
        await self.call("RemoveContainer", container_id=container_id)

    async def list_containers(self) -> Sequence[Any]:
        return list((await self.call("ListContainers")).containers)

    async def container_status(self, container_id: str) -> Any:
        """ContainerStatus. Raises RuntimeNotFound."""
        return (await self.call("ContainerStatus", container_id=container_id)).status

    async def exec_sync(
        self, container_id: str, command: Sequence[str], *, timeout_seconds: float
    ) -> Any:
        """ExecSyncResponse: stdout, stderr (bytes), exit_code. The runtime ends it at the
        timeout and then raises RuntimeUnavailable."""
        return await self.call(
            "ExecSync",
            deadline_seconds=timeout_seconds + 10.0 if timeout_seconds else CALL_SECONDS,
            container_id=container_id,
            cmd=list(command),
            timeout=max(1, int(timeout_seconds)) if timeout_seconds else 0,
        )

    async def update_resources(self, container_id: str, linux: Any) -> None:
        await self.call("UpdateContainerResources", container_id=container_id, linux=linux)

    async def reopen_log(self, container_id: str) -> None:
        await self.call("ReopenContainerLog", container_id=container_id)

    async def image_status(self, reference: str) -> Any | None:
        """The Image of a name or id, or None if it is not present."""
        answer = await self.call("ImageStatus", image={"image": reference})
        return answer.image if answer.HasField("image") else None

    async def list_images(self) -> Sequence[Any]:
        return list((await self.call("ListImages", deadline_seconds=LIST_SECONDS)).images)

    async def pull_image(self, reference: str, *, auth: Any = None) -> str:
        """Pull; the reference that the image is known by."""
        answer = await self.call(
            "PullImage", deadline_seconds=PULL_SECONDS, image={"image": reference}, auth=auth
        )
        return str(answer.image_ref)

    async def remove_image(self, reference: str) -> None:
        await self.call("RemoveImage", image={"image": reference})

    async def image_filesystems(self) -> Sequence[Any]:
        return list((await self.call("ImageFsInfo")).image_filesystems)


# Requests that are not named after their method.
_REQUEST_NAMES: dict[str, str] = {}

__all__ = ["CriClient", "RuntimeFailure"]
