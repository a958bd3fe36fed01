"""Long-lived processes that this program starts and later finds again by a pid file.

A pid alone may have been reused, so a pid file also holds the start time that the kernel keeps for
each process; only a process that matches both is ever signalled.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

STOP_SECONDS = 10.0  # after SIGTERM; past it the process is killed
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its pid and its start time in clock ticks since boot (``proc(5)``, stat 22)."""

    pid: int
    started_ticks: int


def _started_ticks(pid: int) -> int | None:
    """The start time of a process that is not a zombie, or None."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name may hold spaces and parentheses: fields are counted after the last one.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def is_alive(process: Process) -> bool:
    return _started_ticks(process.pid) == process.started_ticks


def read_pid_file(path: Path) -> Process | None:
    """The process of a pid file if it still runs, else None."""
    try:
        fields = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    process = Process(fields["pid"], fields["startedTicks"])
    return process if is_alive(process) else None


def write_pid_file(path: Path, process: Process) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(orjson.dumps({"pid": process.pid, "startedTicks": process.started_ticks}))
    temporary.replace(path)


def start_detached(
    argv: Sequence[str],
    *,
    log_file: Path,
    pid_file: Path,
    namespace: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start a process in a session of its own, logging to a file (0600, appended).

    With ``namespace`` (the path of a network namespace) it runs in there; nsenter replaces itself,
    so that the pid is the program's own.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    command = ["nsenter", f"--net={namespace}", "--", *argv] if namespace else list(argv)
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            close_fds=True,
            env=None if environment is None else {**os.environ, **environment},
        )
    finally:
        os.close(descriptor)
    # The child outlives this program: it is init's to reap, not ours to wait for.
    child.returncode = 0
    started = _started_ticks(child.pid)
    process = Process(child.pid, started if started is not None else -1)
    write_pid_file(pid_file, process)
    return process


async def wait_ended(process: Process) -> None:
    """Until a process has ended, whoever's child it is; at once if it has already."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    try:
        if is_alive(process):
            loop.add_reader(descriptor, ended.set)  # readable once the process is gone
            await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    _reap(process.pid)


async def stop(process: Process, *, timeout_seconds: float = STOP_SECONDS) -> None:
    """Ask a process to end; kill it when it does not within the time."""
    for number, seconds in ((signal.SIGTERM, timeout_seconds), (signal.SIGKILL, STOP_SECONDS)):
        if not is_alive(process):
            break
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            break
        if await _wait_gone(process, seconds):
            break
    _reap(process.pid)


async def _wait_gone(process: Process, seconds: float) -> bool:
    for _ in range(max(1, int(seconds / _POLL_SECONDS))):
        if not is_alive(process):
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return not is_alive(process)


def _reap(pid: int) -> None:
    """Take the exit status if the process was a child of ours; another's is not ours to take."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def resident_bytes(pid: int) -> int:
    """Memory that a process keeps for itself and its share of what it shares (PSS), in bytes."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    line = next((text for text in rollup.splitlines() if text.startswith("Pss:")), "Pss: 0 kB")
    return int(line.split()[1]) * 1024


def started_at(process: Process, *, now: float) -> float:
    """When a process started, in seconds since the epoch."""
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return now - uptime + process.started_ticks / os.sysconf("SC_CLK_TCK")
