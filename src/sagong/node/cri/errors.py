"""What can go wrong with a runtime: gRPC codes translated once.

RuntimeFailure
├── RuntimeNotFound      the container, sandbox or image is not there
├── RuntimeUnavailable   nothing answers at the socket, or not in time
└── RuntimeUnimplemented this runtime does not know the call
"""

import grpc
import grpc.aio

from sagong.core.grpc_errors import described


class RuntimeFailure(Exception):
    """A call failed; the text is the runtime's own."""


class RuntimeNotFound(RuntimeFailure): ...


class RuntimeUnavailable(RuntimeFailure): ...


class RuntimeUnimplemented(RuntimeFailure): ...


_BY_CODE: dict[grpc.StatusCode, type[RuntimeFailure]] = {
    grpc.StatusCode.NOT_FOUND: RuntimeNotFound,
    grpc.StatusCode.UNAVAILABLE: RuntimeUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: RuntimeUnavailable,
    grpc.StatusCode.UNIMPLEMENTED: RuntimeUnimplemented,
}


def translate(error: grpc.aio.AioRpcError) -> RuntimeFailure:
    """The failure in the words that upstream shows users: code and description."""
    cls = _BY_CODE.get(error.code(), RuntimeFailure)
    return cls(described(error))
