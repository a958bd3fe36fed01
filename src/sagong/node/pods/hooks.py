"""postStart and preStop: exec, httpGet, sleep, tcpSocket (deprecated, does nothing)."""

import asyncio

from sagong.api.types import Obj
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeFailure
from sagong.node.probes.http_get import http_request, http_target

HTTP_HOOK_SECONDS = 30.0


class HookError(Exception):
    """A hook failed; the text is that of upstream's event."""


async def run_hook(
    cri: CriClient, pod: Obj, container: Obj, container_id: str, handler: Obj, pod_ip: str
) -> None:
    """Raises HookError. The caller bounds the time."""
    if "exec" in handler:
        await _exec(cri, container_id, handler["exec"].get("command") or [])
    elif "httpGet" in handler:
        target = http_target(handler["httpGet"], container, pod_ip)
        answer = await http_request(target, timeout_seconds=HTTP_HOOK_SECONDS)
        if answer.failure:
            raise HookError(answer.failure)
    elif "sleep" in handler:
        await asyncio.sleep(float(handler["sleep"].get("seconds") or 0))
    else:
        raise HookError(f"invalid handler: {', '.join(handler)}")


async def _exec(cri: CriClient, container_id: str, command: list[str]) -> None:
    try:
        answer = await cri.exec_sync(container_id, command, timeout_seconds=0)
    except RuntimeFailure as error:
        raise HookError(str(error)) from error
    if answer.exit_code != 0:
        output = (answer.stdout + answer.stderr).decode(errors="replace")
        raise HookError(f"command '{' '.join(command)}' exited with {answer.exit_code}: {output}")
