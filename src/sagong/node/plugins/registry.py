"""The registration directory: a socket that appears there is a plugin that wants to be known.

Protocol (``pluginregistration.Registration``): the agent asks GetInfo, lets the handler of the
plugin's type take it, and tells the plugin the result by NotifyRegistrationStatus. A socket that
goes, or is replaced, ends the registration.
"""

import asyncio
import logging
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

from sagong.core.clock import Clock
from sagong.core.protobuf import MessageSet
from sagong.core.tasks import Tasks, task_group
from sagong.node.plugins.channel import PluginChannel, PluginFailure

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # upstream's reconciler loop has the same pace
CALL_SECONDS = 10.0
RETRY_SECONDS = 0.5  # of a plugin that did not answer or was refused; doubled to the limit
RETRY_LIMIT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Plugin:
    """What a plugin says of itself."""

    type: str  # CSIPlugin, DevicePlugin, DRAPlugin
    name: str
    endpoint: Path  # of its services; the registration socket if it names none
    versions: Sequence[str]


class PluginRefused(Exception):
    """A handler does not take a plugin; the text is told to it."""


class PluginHandler(Protocol):
    """Takes the plugins of one type."""

    async def register(self, plugin: Plugin) -> None:
        """Also for a plugin that registers again. Raises PluginRefused."""
        ...

    async def deregister(self, plugin: Plugin) -> None: ...


@dataclass(slots=True)
class _Socket:
    """What is known of one socket file; ``stamp`` tells a new one of the same name."""

    stamp: tuple[int, int]
    plugin: Plugin | None = None
    failures: int = 0
    retry_at: float = 0.0
    is_busy: bool = False


@dataclass(slots=True)
class PluginRegistry:
    """One an agent; handlers by plugin type."""

    directory: Path
    handlers: Mapping[str, PluginHandler]
    clock: Clock
    _sockets: dict[Path, _Socket] = field(default_factory=dict)

    async def run(self) -> None:
        """Until cancelled; plugins stay registered, as their sockets stay."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        async with task_group() as tasks:
            while True:
                await self._look(tasks)
                await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, tasks: Tasks) -> None:
        found = find_sockets(self.directory)
        for path, known in list(self._sockets.items()):
            if found.get(path) != known.stamp and not known.is_busy:
                del self._sockets[path]
                await self._forget(known)
        now = self.clock.monotonic()
        for path, stamp in found.items():
            known = self._sockets.setdefault(path, _Socket(stamp))
            if known.plugin is None and not known.is_busy and now >= known.retry_at:
                known.is_busy = True
                tasks.start(self._register(path, known), name=f"plugin {path.name}")

    async def _forget(self, known: _Socket) -> None:
        plugin = known.plugin
        if plugin is None or any(s.plugin == plugin for s in self._sockets.values()):
            return
        log.info("plugin %s %s has gone", plugin.type, plugin.name)
        await self.handlers[plugin.type].deregister(plugin)

    async def _register(self, path: Path, known: _Socket) -> None:
        channel = PluginChannel(path, registration_messages(), "Registration")
        try:
            known.plugin = await self._introduce(path, channel)
        except (PluginFailure, PluginRefused) as error:
            log.warning("plugin at %s cannot be registered: %s", path, error)
            known.failures += 1
            pause = min(RETRY_SECONDS * 2 ** min(known.failures, 10), RETRY_LIMIT_SECONDS)
            known.retry_at = self.clock.monotonic() + pause
        finally:
            known.is_busy = False
            await channel.close()

    async def _introduce(self, path: Path, channel: PluginChannel) -> Plugin:
        info = await channel.call("GetInfo", deadline_seconds=CALL_SECONDS)
        endpoint = Path(info.endpoint) if info.endpoint else path
        plugin = Plugin(info.type, info.name, endpoint, tuple(info.supported_versions))
        try:
            await self._handler_of(plugin).register(plugin)
        except PluginRefused as error:
            await channel.call(
                "NotifyRegistrationStatus",
                deadline_seconds=CALL_SECONDS,
                plugin_registered=False,
                error=f"RegisterPlugin error -- plugin registration failed with err: {error}",
            )
            raise
        log.info("plugin %s %s at %s is registered", plugin.type, plugin.name, plugin.endpoint)
        await channel.call(
            "NotifyRegistrationStatus", deadline_seconds=CALL_SECONDS, plugin_registered=True
        )
        return plugin

    def _handler_of(self, plugin: Plugin) -> PluginHandler:
        handler = self.handlers.get(plugin.type)
        if handler is None:
            raise PluginRefused(f"no handler registered for plugin type: {plugin.type}")
        return handler


@cache
def registration_messages() -> MessageSet:
    return MessageSet.load("pluginregistration", __package__, "registration_v1.json")


def find_sockets(directory: Path) -> dict[Path, tuple[int, int]]:
    """Sockets at or below a directory, hidden files and directories left out."""
    found = {}
    for root, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if not name.startswith(".")]
        for name in files:
            path = Path(root) / name
            if name.startswith("."):
                continue
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            if stat.S_ISSOCK(status.st_mode):
                found[path] = (status.st_ino, status.st_ctime_ns)
    return found
