"""The real systemd-logind on a bus of its own, before a stand-in of systemd that starts no unit.

Nothing of the host is reached: logind has its own /run/systemd and /etc/systemd, and whoever is to
find the bus is told its address.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

LOGIND = Path("/lib/systemd/systemd-logind")
PYTHON = "/usr/bin/python3"
WAIT_SECONDS = 15.0
_BUS = """<busconfig><type>session</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/><allow user="*"/></policy></busconfig>"""
_START_LOGIND = """mount -t tmpfs none /run/systemd && mount --bind {etc} /etc/systemd &&
mkdir /run/systemd/seats /run/systemd/users /run/systemd/sessions /run/systemd/inhibit \
/run/systemd/shutdown && exec {logind}"""
_SYSTEMD = """
import os, signal, sys
import dbus, dbus.service
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

NAME, ROOT = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
directory = sys.argv[1]


class Manager(dbus.service.Object):
    @dbus.service.method(NAME + ".Manager", in_signature="ss", out_signature="o")
    def StartUnit(self, unit, mode):
        with open(directory + "/started", "a") as file:
            file.write(unit + "\\n")
        return ROOT + "/job/1"

    @dbus.service.method(NAME + ".Manager", in_signature="ssi")
    def KillUnit(self, unit, whom, number):
        with open(directory + "/logind.pid") as file:
            os.kill(int(file.read()), number)


class Unit(dbus.service.Object):
    @dbus.service.method("org.freedesktop.DBus.Properties", in_signature="ss", out_signature="v")
    def Get(self, interface, name):
        return "loaded"


DBusGMainLoop(set_as_default=True)
bus = dbus.SystemBus()
own = dbus.service.BusName(NAME, bus)
objects = Manager(own, ROOT), Unit(own, ROOT + "/unit/poweroff_2etarget")
GLib.MainLoop().run()
"""


def missing() -> str:
    """Why there can be no logind here, or ""."""
    for program in ("dbus-daemon", "busctl", "systemd-inhibit", "setpriv", "unshare"):
        if shutil.which(program) is None:
            return f"needs {program}"
    if sys.platform != "linux" or not LOGIND.exists() or not Path("/run/systemd").is_dir():
        return "needs systemd-logind"
    command = [PYTHON, "-c", "import dbus, gi"]
    done = subprocess.run(command, check=False, capture_output=True)
    return "needs python3-dbus and python3-gi" if done.returncode else ""


@dataclass
class Logind:
    directory: Path

    @property
    def address(self) -> str:
        return f"unix:path={self.directory / 'bus'}"

    @property
    def settings_dir(self) -> Path:
        return self.directory / "etc" / "logind.conf.d"

    def started_units(self) -> list[str]:
        file = self.directory / "started"
        return file.read_text().split() if file.exists() else []

    def ask(self, verb: str, *arguments: str) -> str:
        """What ``busctl`` prints; "" if it fails."""
        names = ("org.freedesktop.login1", "/org/freedesktop/login1")
        return self._run(verb, *names, "org.freedesktop.login1.Manager", *arguments)

    def _run(self, *arguments: str) -> str:
        command = ["busctl", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=self.env)
        return done.stdout

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        (self.directory / "etc").mkdir(parents=True)
        (self.directory / "bus.conf").write_text(_BUS.format(socket=self.directory / "bus"))
        (self.directory / "systemd.py").write_text(_SYSTEMD)
        started: list[subprocess.Popen[bytes]] = []
        try:
            started.append(self._start("dbus-daemon", f"--config-file={self.directory}/bus.conf"))
            await self._wait((self.directory / "bus").exists)
            started.append(self._start(PYTHON, f"{self.directory}/systemd.py", str(self.directory)))
            await self._wait(lambda: "org.freedesktop.systemd1" in self._run("list"))
            script = _START_LOGIND.format(etc=self.directory / "etc", logind=LOGIND)
            started.append(self._start("unshare", "--mount", "sh", "-c", script))
            (self.directory / "logind.pid").write_text(str(started[-1].pid))
            await self._wait(lambda: "t " in self.ask("get-property", "InhibitDelayMaxUSec"))
            yield
        finally:
            for process in reversed(started):
                process.kill()
                process.wait()

    def _start(self, *command: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL)

    async def _wait(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():  # noqa: ASYNC110 - other processes tell nobody
                await asyncio.sleep(0.05)
