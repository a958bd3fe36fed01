"""The cluster that is tormented: its programs, its client, and what its nodes are made of."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sagong.client.client import Client
from sagong.local import containerd, network_namespaces, processes
from sagong.local.containerd import ContainerdInstance
from sagong.local.layout import Layout

NODES = 3
GRACE_SECONDS = 20  # of silence, until the server holds a node for NotReady
NAMESPACE = "chaos"


@dataclass(slots=True)
class Place:
    """One cluster on this machine, everything of it below one directory."""

    base: Path
    prefix: str
    port: int
    began: float = 0.0
    violations: list[str] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        return Layout(self.base / "data", self.base / "run")

    @property
    def kubeconfig(self) -> Path:
        return self.base / "kubeconfig"

    @property
    def shared(self) -> Path:
        """A directory of the machine that pods of all nodes write to."""
        return self.base / "shared"

    @property
    def nodes(self) -> Sequence[str]:
        return [f"{self.prefix}-{i + 1}" for i in range(NODES)]

    def say(self, text: str) -> None:
        seconds = asyncio.get_running_loop().time() - self.began
        print(f"{seconds:8.1f} {text}", flush=True)

    def violated(self, text: str) -> None:
        self.violations.append(text)
        self.say(f"VIOLATED {text}")

    def runtime(self, node: str) -> ContainerdInstance:
        return containerd.instance_for(
            self.layout.node_dir(node),
            self.layout.node_run_dir(node),
            network_namespace=str(network_namespaces.namespace_path(node)),
        )

    def process(self, program: str, node: str) -> processes.Process | None:
        """The ``server``, or the ``agent`` or ``runtime`` of a node, while it lives."""
        file = {
            "server": self.layout.pid_file("server"),
            "agent": self.layout.pid_file(f"agent-{node}"),
            "runtime": self.runtime(node).pid_file if node else Path("/nonexistent"),
        }[program]
        return processes.read_pid_file(file)

    def signal(self, program: str, node: str, number: signal.Signals) -> None:
        process = self.process(program, node)
        if process is not None:
            os.kill(process.pid, number)

    async def sagong(self, *arguments: str) -> None:
        """The command, on this cluster. Raises RuntimeError."""
        code, text = await run(
            sys.executable,
            "-m",
            "sagong",
            *arguments,
            *("--kubeconfig", str(self.kubeconfig)),
            *("--data-dir", str(self.layout.data_dir), "--run-dir", str(self.layout.run_dir)),
        )
        if code != 0:
            raise RuntimeError(f"sagong {arguments[0]}: {text}")

    async def up(self) -> None:
        flags = ("--port", str(self.port), "--node-prefix", self.prefix)
        grace = ("--node-grace-seconds", str(GRACE_SECONDS))
        await self.sagong("up", "--nodes", str(NODES), *flags, *grace)

    async def inside(self, node: str, *command: str) -> str:
        """What a command prints in a node's network namespace."""
        path = network_namespaces.namespace_path(node)
        code, text = await run("nsenter", f"--net={path}", "--", *command)
        return text if code == 0 else ""


@dataclass(frozen=True, slots=True)
class World:
    """The cluster with a way to ask it."""

    place: Place
    client: Client


async def run(*command: str) -> tuple[int, str]:
    """A command's exit code, and what it prints."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(240):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")
