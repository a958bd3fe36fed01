"""Calls of one service of a plugin, over its Unix socket."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio

from sagong.core.grpc_errors import code_name, described
from sagong.core.protobuf import MessageSet

CALL_SECONDS = 120.0  # upstream's csiTimeout
_RECONNECT_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class PluginFailure(Exception):
    """A call failed: the plugin's own words, and the code in Go's spelling."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class PluginChannel:
    """One connection; ``close()`` it."""

    def __init__(self, socket: Path, messages: MessageSet, service: str) -> None:
        self.socket = socket
        self._messages = messages
        self._service = service
        self._channel = grpc.aio.insecure_channel(f"unix://{socket}", options=_RECONNECT_OPTIONS)
        self._calls: dict[str, Any] = {}
        self._requests: dict[str, str] = {}
        for method, (request, response, _) in messages.methods(service).items():
            self._requests[method] = request
            self._calls[method] = self._channel.unary_unary(
                f"/{messages.package}.{service}/{method}",
                request_serializer=messages.message_class(request).SerializeToString,
                response_deserializer=messages.message_class(response).FromString,
            )

    async def call(
        self, method: str, *, deadline_seconds: float = CALL_SECONDS, **fields: Any
    ) -> Any:
        """The answer. Raises PluginFailure."""
        request = self._messages.make(self._requests[method], **fields)
        try:
            return await self._calls[method](request, timeout=deadline_seconds)
        except grpc.aio.AioRpcError as error:
            raise PluginFailure(described(error), code_name(error.code())) from error

    async def stream(self, method: str, **fields: Any) -> AsyncIterator[Any]:
        """The answers of a streaming call until it ends. Raises PluginFailure."""
        request, response, _ = self._messages.methods(self._service)[method]
        call = self._channel.unary_stream(
            f"/{self._messages.package}.{self._service}/{method}",
            request_serializer=self._messages.message_class(request).SerializeToString,
            response_deserializer=self._messages.message_class(response).FromString,
        )(self._messages.make(request, **fields))
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise PluginFailure(described(error), code_name(error.code())) from error
        finally:
            call.cancel()

    async def close(self) -> None:
        await self._channel.close()
