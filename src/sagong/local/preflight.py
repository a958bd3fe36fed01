"""What a machine needs before a node can run on it; each lack is said in one line with its cure."""

import os
import shutil
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

CNI_PLUGIN_DIRS = (Path("/opt/cni/bin"), Path("/usr/lib/cni"))
CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")
INSTALL = "run: sagong install"

# Program, what it is for.
_PROGRAMS = (
    ("containerd", "runs the containers"),
    ("runc", "starts each container"),
    ("nft", "programs services in the kernel"),
    ("ip", "makes network namespaces and bridges"),
    ("nsenter", "enters a node's network namespace"),
    ("mount", "mounts volumes"),
)
_CGROUP_CONTROLLERS = ("cpu", "memory", "pids")


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement: whether it is met, and if not, what is missing and what to do about it."""

    name: str
    met: bool
    missing: str = ""
    cure: str = ""

    def line(self) -> str:
        return f"ok       {self.name}" if self.met else f"MISSING  {self.missing}; {self.cure}"


def cni_plugin_dir() -> Path | None:
    """The first directory that holds the CNI plugins we use."""
    return next((d for d in CNI_PLUGIN_DIRS if all((d / p).exists() for p in CNI_PLUGINS)), None)


def check_node() -> list[Check]:
    """Everything a node needs, in the order in which a user would mend it."""
    return [
        _check_root(),
        *(_check_program(name, purpose) for name, purpose in _PROGRAMS),
        Check(
            "CNI plugins",
            cni_plugin_dir() is not None,
            f"CNI plugins ({', '.join(CNI_PLUGINS)}) are in none of "
            + ", ".join(map(str, CNI_PLUGIN_DIRS)),
            INSTALL,
        ),
        _check_file_system("overlay", "the kernel has no overlayfs, which image layers need"),
        _check_cgroups(),
        _check_forwarding(),
    ]


def check_port(host: str, port: int) -> Check:
    """Whether the server can listen here."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Check(
                f"port {port}",
                False,
                f"port {port} on {host} cannot be used ({error.strerror})",
                f"stop what listens there (ss -ltnp 'sport = :{port}') or choose another --port",
            )
    return Check(f"port {port}", True)


def unmet(checks: Iterable[Check]) -> Sequence[Check]:
    return [check for check in checks if not check.met]


def _check_root() -> Check:
    return Check("root", os.geteuid() == 0, "a node must run as root", "run the command with sudo")


def _check_program(name: str, purpose: str) -> Check:
    found = shutil.which(name) is not None
    return Check(name, found, f"{name} is not installed ({purpose})", INSTALL)


def _check_file_system(name: str, missing: str) -> Check:
    known = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    # A module that is not loaded yet is not listed; its file tells that it can be.
    modules = Path("/lib/modules") / os.uname().release / "kernel" / "fs" / f"{name}fs"
    cure = f"load it (modprobe {name}) or use a kernel that has it"
    return Check(f"{name} file system", name in known or modules.exists(), missing, cure)


def _check_cgroups() -> Check:
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        present = set(unified.read_text().split())
    else:
        present = {p.name for p in Path("/sys/fs/cgroup").glob("*") if p.is_dir()}
    absent = [c for c in _CGROUP_CONTROLLERS if c not in present]
    return Check(
        "cgroup controllers",
        not absent,
        f"the cgroup controllers {', '.join(absent)} are not available under /sys/fs/cgroup",
        "enable them on the kernel's command line (cgroup_enable=memory) and reboot",
    )


def _check_forwarding() -> Check:
    path = Path("/proc/sys/net/ipv4/ip_forward")
    usable = path.exists() and (path.read_text().strip() == "1" or os.access(path, os.W_OK))
    return Check(
        "IPv4 forwarding",
        usable,
        "IPv4 forwarding is off and cannot be turned on from here",
        "run on a machine or in a container where /proc/sys is writable",
    )
