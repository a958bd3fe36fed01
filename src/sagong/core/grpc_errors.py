"""What gRPC failures are called."""

import grpc
import grpc.aio


def code_name(code: grpc.StatusCode) -> str:
    """Go's name of a code: DEADLINE_EXCEEDED is DeadlineExceeded."""
    return "".join(word.capitalize() for word in code.name.split("_"))


def described(error: grpc.aio.AioRpcError) -> str:
    """Code and description, in the words in which Go programs print them."""
    return f"rpc error: code = {code_name(error.code())} desc = {error.details()}"
