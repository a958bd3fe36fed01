"""The four handlers of a probe: exec, httpGet, tcpSocket, grpc."""

import asyncio
from collections.abc import Sequence

import grpc
import grpc.aio

from sagong.api.types import Obj
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeFailure, RuntimeUnavailable
from sagong.node.probes.http_get import http_request, http_target, resolve_port
from sagong.node.probes.outcome import SUCCESS, Outcome

OUTPUT_BYTES_MAX = 10 * 1024
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_SERVING_STATUS = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


class ProbeError(Exception):
    """The probe could not be made: neither success nor failure."""


async def run_probe(
    cri: CriClient, probe: Obj, container: Obj, container_id: str, pod_ip: str
) -> Outcome:
    """One attempt, bounded by timeoutSeconds. Raises ProbeError."""
    timeout = float(probe.get("timeoutSeconds") or 1)
    try:
        if "exec" in probe:
            return await _exec(cri, container_id, probe["exec"].get("command") or [], timeout)
        if "httpGet" in probe:
            target = http_target(probe["httpGet"], container, pod_ip)
            return await http_request(target, timeout_seconds=timeout)
        if "tcpSocket" in probe:
            action = probe["tcpSocket"]
            port = resolve_port(action["port"], container)
            return await tcp_connect(action.get("host") or pod_ip, port, timeout)
        if "grpc" in probe:
            action = probe["grpc"]
            return await grpc_check(pod_ip, action["port"], action.get("service") or "", timeout)
    except ValueError as error:
        raise ProbeError(str(error)) from error
    raise ProbeError(f"missing probe handler for container {container['name']}")


async def _exec(
    cri: CriClient, container_id: str, command: Sequence[str], timeout: float
) -> Outcome:
    try:
        async with asyncio.timeout(timeout + 1):
            answer = await cri.exec_sync(container_id, command, timeout_seconds=timeout)
    except (TimeoutError, RuntimeUnavailable):
        return Outcome(f'command timed out: "{" ".join(command)}" timed out after {timeout:g}s')
    except RuntimeFailure as error:
        raise ProbeError(str(error)) from error
    if answer.exit_code == 0:
        return SUCCESS
    output = (answer.stdout + answer.stderr)[:OUTPUT_BYTES_MAX].decode(errors="replace")
    return Outcome(output.strip() or f"command exited with {answer.exit_code}")


async def tcp_connect(host: str, port: int, timeout: float) -> Outcome:
    """Success is a connection; nothing is sent."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Outcome(f"dial tcp {address}: i/o timeout")
    except ConnectionRefusedError:
        return Outcome(f"dial tcp {address}: connect: connection refused")
    except OSError as error:
        return Outcome(f"dial tcp {address}: connect: {(error.strerror or str(error)).lower()}")
    writer.close()
    return SUCCESS


async def grpc_check(host: str, port: int, service: str, timeout: float) -> Outcome:
    """grpc.health.v1: success is SERVING. The two messages have one field each."""
    literal = f"[{host}]" if ":" in host else host
    text = service.encode()
    request = b"\x0a" + bytes([len(text)]) + text if text else b""
    async with grpc.aio.insecure_channel(f"{literal}:{port}") as channel:
        check = channel.unary_unary(_HEALTH_CHECK)
        try:
            answer = await check(request, timeout=timeout, wait_for_ready=False)
        except grpc.aio.AioRpcError as error:
            return _grpc_failure(error, literal, port, timeout)
    status = answer[1] if len(answer) >= 2 and answer[0] == 0x08 else 0
    if status == 1:
        return SUCCESS
    name = _SERVING_STATUS[status] if status < len(_SERVING_STATUS) else str(status)
    return Outcome(f'service unhealthy (responded with "{name}")')


def _grpc_failure(error: grpc.aio.AioRpcError, host: str, port: int, timeout: float) -> Outcome:
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return Outcome(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        )
    if error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
        where = f'"{host}:{port}"'
        return Outcome(
            f"timeout: failed to connect service {where} within {timeout:g}s: {error.details()}"
        )
    return Outcome(f"error: health rpc probe failed: {error.details()}")
