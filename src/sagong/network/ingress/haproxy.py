"""Running haproxy: files, start, reload without a lost connection, stop.

The master process outlives the agent, as containers do; a new agent finds it by its pid file.
"""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sagong.local import processes
from sagong.network.ingress.config import CONFIG

PROGRAM = "haproxy"
CHECK_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 5.0
START_SECONDS_MAX = 10.0  # it binds its ports in some milliseconds, on a busy machine later
_POLL_SECONDS = 0.05
_LOADED, _NOT_LOADED = "Loading success", "Loading failure"
_PID_FILE, _LOG_FILE = "haproxy.pid", "haproxy.log"


class HaproxyError(Exception):
    """The proxy is not there or will not take its configuration."""


class Haproxy:
    """The proxy of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._child = 0  # pid of the master, if it was started here

    @property
    def user(self) -> str:
        """Whom its workers can run as: the Debian package's own user, where it is."""
        try:
            return pwd.getpwnam(PROGRAM).pw_name
        except KeyError:
            return ""

    def is_running(self) -> bool:
        return processes.read_pid_file(self._directory / _PID_FILE) is not None

    async def serve(self, files: Mapping[str, bytes]) -> bool:
        """Serve what the files say; False if it does already. Raises HaproxyError."""
        said = self._log_size()
        if not await asyncio.to_thread(self._serve, files):
            return False
        await self._wait_loaded(said)
        return True

    async def stop(self) -> None:
        """End it and leave no file; nothing happens where there is nothing."""
        process = processes.read_pid_file(self._directory / _PID_FILE)
        if process is not None:
            await processes.stop(process, timeout_seconds=STOP_SECONDS_MAX)
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    async def _wait_loaded(self, said: int) -> None:
        """Until it says how loading went: a port that somebody else has shows only when it tries.

        ``said`` is how long its log was before. Raises HaproxyError.
        """
        for _ in range(round(START_SECONDS_MAX / _POLL_SECONDS)):
            text = (self._directory / _LOG_FILE).read_bytes()[said:].decode(errors="replace")
            if _LOADED in text:
                return
            if _NOT_LOADED in text or not self.is_running():
                break
            await asyncio.sleep(_POLL_SECONDS)
        # Whatever the reason, the next attempt must not take what is written for what is served.
        (self._directory / CONFIG).unlink(missing_ok=True)
        raise HaproxyError(_alerts(text) or f"it does not start; see {_LOG_FILE}")

    def _log_size(self) -> int:
        path = self._directory / _LOG_FILE
        return path.stat().st_size if path.exists() else 0

    def _serve(self, files: Mapping[str, bytes]) -> bool:
        if shutil.which(PROGRAM) is None:
            raise HaproxyError("haproxy is not installed; run: sagong install --ingress")
        changed = self._write(files)
        process = processes.read_pid_file(self._directory / _PID_FILE)
        if process is not None and not changed:
            return False
        self._check()
        if process is not None:
            os.kill(process.pid, signal.SIGUSR2)
        else:
            self._reap()
            started = processes.start_detached(
                [PROGRAM, "-W", "-f", str(self._directory / CONFIG)],
                log_file=self._directory / _LOG_FILE,
                pid_file=self._directory / _PID_FILE,
            )
            self._child = started.pid
        return True

    def _reap(self) -> None:
        """Of a master that ended by itself nothing may be left in the process table."""
        if self._child:
            try:
                os.waitpid(self._child, os.WNOHANG)
            except ChildProcessError:
                pass
            self._child = 0

    def _write(self, files: Mapping[str, bytes]) -> bool:
        """Keys are among them: all are their owner's alone. True if one differs from before."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        own = {_PID_FILE, _LOG_FILE}
        present = {p.name for p in self._directory.iterdir()} - own
        changed = False
        for name, content in files.items():
            path = self._directory / name
            if name in present and path.read_bytes() == content:
                continue
            changed = True
            temporary = self._directory / f"{name}.new"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            temporary.replace(path)
        for name in present - files.keys():
            (self._directory / name).unlink()
        return changed

    def _check(self) -> None:
        try:
            done = subprocess.run(
                [PROGRAM, "-c", "-f", str(self._directory / CONFIG)],
                capture_output=True,
                text=True,
                timeout=CHECK_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise HaproxyError("checking its configuration took too long") from error
        if done.returncode != 0:
            # The next attempt must not take what is written for what is served.
            (self._directory / CONFIG).unlink()
            raise HaproxyError(_alerts(done.stderr) or "it refuses its configuration")


def _alerts(text: str) -> str:
    return " ".join([line for line in text.splitlines() if "ALERT" in line][:5])
