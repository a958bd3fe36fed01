"""systemd-logind over D-Bus, by systemd's own programs: delays of a shutdown, and word of one.

``systemd-inhibit`` holds a lock while its child lives; ``busctl monitor`` prints what logind says.
Both end with the agent, however it ends.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from sagong.node.programs import ProgramFailure, run_program

SERVICE = "org.freedesktop.login1"
_OBJECT = "/org/freedesktop/login1"
_MANAGER = "org.freedesktop.login1.Manager"
_SIGNAL = f"type='signal',sender='{SERVICE}',interface='{_MANAGER}',member='PrepareForShutdown'"
_SETTINGS = "99-kubelet.conf"
_LINE_BYTES_MAX = 1 << 16
_HANGUP = "1"


@dataclass(frozen=True, slots=True)
class Login:
    """The system's logind. Methods raise ProgramFailure."""

    settings_dir: Path = Path("/etc/systemd/logind.conf.d")

    async def delay_max_seconds(self) -> float:
        """How long a lock can delay a shutdown."""
        asked = (SERVICE, _OBJECT, _MANAGER, "InhibitDelayMaxUSec")
        answer = await run_program("busctl", "get-property", *asked)
        return int(answer.split()[-1]) / 1_000_000

    async def allow_delay(self, seconds: int) -> None:
        """Let locks delay a shutdown for so long, from now on."""
        self.settings_dir.mkdir(parents=True, exist_ok=True)
        text = f"# Written by the node agent.\n[Login]\nInhibitDelayMaxSec={seconds}\n"
        (self.settings_dir / _SETTINGS).write_text(text)
        systemd = "org.freedesktop.systemd1"
        call = (systemd, "/org/freedesktop/systemd1", f"{systemd}.Manager", "KillUnit")
        reload = ("ssi", "systemd-logind.service", "all", _HANGUP)
        await run_program("busctl", "call", *call, *reload)

    @contextlib.asynccontextmanager
    async def delaying(self) -> AsyncIterator[None]:
        """A shutdown waits while the block runs, within logind's bound."""
        lock = await _start(
            "systemd-inhibit",
            "--what=shutdown",
            "--mode=delay",
            "--who=kubelet",
            "--why=Kubelet needs time to handle node shutdown",
            # Says that the lock is there, and ends with its input.
            "sh",
            "-c",
            "echo; exec cat >/dev/null",
        )
        try:
            assert lock.stdout is not None
            if not await lock.stdout.readline():
                raise ProgramFailure("systemd-inhibit could not take the lock", 1)
            yield
        finally:
            assert lock.stdin is not None
            lock.stdin.close()
            await _end(lock)

    async def shutdowns(self) -> AsyncGenerator[bool, None]:
        """True when the machine is about to go down, False when that has been called off."""
        watch = ("monitor", "--json=short", f"--match={_SIGNAL}")
        monitor = await _start("setpriv", "--pdeathsig", "TERM", "busctl", *watch)
        try:
            assert monitor.stdout is not None
            while line := await monitor.stdout.readline():
                found = prepares(line)
                if found is not None:
                    yield found
            raise ProgramFailure("busctl monitor has ended", await monitor.wait())
        finally:
            await _end(monitor)


def prepares(line: bytes) -> bool | None:
    """What a message says of a shutdown; None for any other message."""
    try:
        message = orjson.loads(line)
        if message.get("member") != "PrepareForShutdown":
            return None
        return bool(message["payload"]["data"][0])
    except (orjson.JSONDecodeError, AttributeError, LookupError, TypeError):
        return None


async def _start(*command: str) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_LINE_BYTES_MAX,
        )
    except FileNotFoundError as error:
        raise ProgramFailure(f"{command[0]} is not installed", 127) from error


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    await process.wait()
