"""The two sockets of a plugin of the node: its services, and where the agent registers it."""

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from sagong.core.protobuf import MessageSet
from sagong.node.plugins.registry import registration_messages
from sagong.node.volumes import mounts

# Answers a method's request.
Answer = Callable[[str, Any, Any], Any]


@contextlib.asynccontextmanager
async def both_sockets(
    endpoint: Path, services: Sequence[grpc.GenericRpcHandler], registration: Path, register: Answer
) -> AsyncIterator[None]:
    """Both are there while the block runs."""
    for directory in (registration.parent, endpoint.parent):
        mounts.make_directory(directory)
    server, registrar = grpc.aio.server(), grpc.aio.server()
    server.add_generic_rpc_handlers(tuple(services))
    server.add_insecure_port(f"unix://{endpoint}")
    handler = handlers(registration_messages(), "Registration", register)
    registrar.add_generic_rpc_handlers((handler,))
    registrar.add_insecure_port(f"unix://{registration}")
    try:
        await server.start()
        await registrar.start()
        yield
    finally:
        await registrar.stop(None)
        await server.stop(None)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(registration)


def handlers(messages: MessageSet, service: str, answer: Answer) -> grpc.GenericRpcHandler:
    methods = {}
    for method, (request, _, _) in messages.methods(service).items():

        async def serve(asked: Any, context: Any, method: str = method) -> Any:
            return answer(method, asked, context)

        methods[method] = grpc.unary_unary_rpc_method_handler(
            serve,
            request_deserializer=messages.message_class(request).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
    return grpc.method_handlers_generic_handler(f"{messages.package}.{service}", methods)
