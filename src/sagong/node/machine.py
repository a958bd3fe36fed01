"""What the machine is and has: capacity, versions, pressure. Reads of /proc and /sys only."""

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sagong.api.types import Obj
from sagong.node.config import KUBELET_VERSION


@dataclass(frozen=True, slots=True)
class Machine:
    """What does not change while the agent runs."""

    cpus: int
    memory_bytes: int
    disk_bytes: int
    info: Obj  # status.nodeInfo


def read_machine(data_dir: Path, *, runtime: str) -> Machine:
    """``runtime`` is ``containerd://1.6.20``."""
    memory = _meminfo()
    usage = shutil.disk_usage(_existing(data_dir))
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=memory["MemTotal"],
        disk_bytes=usage.total,
        info={
            "machineID": _read("/etc/machine-id"),
            "systemUUID": _read("/sys/class/dmi/id/product_uuid") or _read("/etc/machine-id"),
            "bootID": _read("/proc/sys/kernel/random/boot_id"),
            "kernelVersion": platform.release(),
            "osImage": _os_release().get("PRETTY_NAME", "Linux"),
            "containerRuntimeVersion": runtime,
            "kubeletVersion": KUBELET_VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": architecture(),
        },
    )


def has_app_armor() -> bool:
    return _read("/sys/module/apparmor/parameters/enabled") == "Y"


def architecture() -> str:
    """Go's name of this machine's architecture."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}.get(machine, machine)


@dataclass(frozen=True, slots=True)
class MemoryRoom:
    """Bytes."""

    available: int
    total: int


@dataclass(frozen=True, slots=True)
class Processes:
    """How many there are, and how many there may be."""

    now: int
    limit: int


def memory_available() -> MemoryRoom:
    """What could be used without swapping."""
    found = _meminfo()
    return MemoryRoom(found["MemAvailable"], found["MemTotal"])


def processes() -> Processes:
    """Threads count, as they do against the kernel's bound."""
    limit = int(_read("/proc/sys/kernel/pid_max") or 4194304)
    running = (_read("/proc/loadavg").split() or ["", "", "", "0/0"])[3].split("/")[1]
    return Processes(int(running), limit)


def _meminfo() -> Mapping[str, int]:
    """Bytes by name."""
    found = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        found[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return found


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _os_release() -> Mapping[str, str]:
    pairs = (line.partition("=") for line in _read("/etc/os-release").splitlines())
    return {name: value.strip('"') for name, _, value in pairs}
