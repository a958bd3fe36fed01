"""Pod cgroups by quality of service: ``<root>/{burstable,besteffort}/pod<uid>``, cgroup v1 and v2.

Guaranteed pods lie directly below the root. The runtime makes the containers' own cgroups below
the pod's; here the pod's are made, limited and removed, and the weights of the classes kept.
"""

import logging
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from sagong.node.pods.resources import CPU_PERIOD_MICROSECONDS, CPU_SHARES_MIN, PodLimits

log = logging.getLogger(__name__)

_CLASS_DIRS = {"Guaranteed": "", "Burstable": "burstable", "BestEffort": "besteffort"}
# The controllers whose limits we set; the runtime makes the other hierarchies' directories.
_V1_CONTROLLERS = ("cpu", "memory", "pids")


class CgroupTree:
    """The cgroups of one agent. ``root`` is a name without slashes, unique on the machine."""

    def __init__(self, mount: Path, root: str) -> None:
        self._mount = mount
        self._root = root
        self.is_unified = (mount / "cgroup.controllers").exists()

    def parent_of(self, uid: str, quality: str) -> str:
        """The pod's cgroup as the CRI wants it (``cgroup_parent``)."""
        parts = [self._root, _CLASS_DIRS[quality], f"pod{uid}"]
        return "/" + "/".join(part for part in parts if part)

    def prepare(self) -> None:
        """Make the root and the classes. BestEffort gets what nobody else wants."""
        for name in ("", "burstable", "besteffort"):
            for directory in self._directories(f"{self._root}/{name}".rstrip("/")):
                self._make(directory)
        best_effort = f"{self._root}/besteffort"
        self._write_cpu_weight(best_effort, CPU_SHARES_MIN)

    def create_pod(self, uid: str, quality: str, limits: PodLimits) -> None:
        """Make and limit a pod's cgroup; may be repeated."""
        path = self.parent_of(uid, quality).lstrip("/")
        for directory in self._directories(path):
            self._make(directory)
        self._write_cpu_weight(path, limits.cpu_shares)
        if limits.cpu_quota is not None:
            self._write_quota(path, limits.cpu_quota)
        if limits.memory_bytes is not None:
            file = "memory.max" if self.is_unified else "memory.limit_in_bytes"
            self._write(path, "memory", file, str(limits.memory_bytes))

    def pods(self) -> set[str]:
        """Uids of pods that have a cgroup."""
        found = set()
        for base in self._bases():
            for class_dir in _CLASS_DIRS.values():
                directory = base / self._root / class_dir
                if directory.is_dir():
                    found |= {p.name[3:] for p in directory.iterdir() if p.name.startswith("pod")}
        return found

    def remove_pod(self, uid: str) -> bool:
        """Kill what is left in a pod's cgroups and remove them; whether all are gone."""
        gone = True
        for base in self._bases():
            for class_dir in _CLASS_DIRS.values():
                directory = base / self._root / class_dir / f"pod{uid}"
                if directory.is_dir():
                    gone = _remove_tree(directory) and gone
        return gone

    def directory(self, uid: str, quality: str, controller: str) -> Path:
        """Where a pod's figures are read."""
        relative = self.parent_of(uid, quality).lstrip("/")
        return self._mount / relative if self.is_unified else self._mount / controller / relative

    def memory_used(self, uid: str, quality: str, container_id: str) -> int | None:
        """Bytes that a container uses now; None if its cgroup is not where we look for it."""
        directory = self.directory(uid, quality, "memory") / container_id
        file = "memory.current" if self.is_unified else "memory.usage_in_bytes"
        try:
            return int((directory / file).read_text())
        except (OSError, ValueError):
            return None

    def _bases(self) -> list[Path]:
        if self.is_unified:
            return [self._mount]
        return [entry for entry in self._mount.iterdir() if entry.is_dir()]

    def _directories(self, path: str) -> Iterable[Path]:
        if self.is_unified:
            return [self._mount / path]
        present = [self._mount / name for name in _V1_CONTROLLERS]
        return [controller / path for controller in present if controller.is_dir()]

    def _make(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        if self.is_unified:
            _delegate(self._mount, directory)

    def _write_cpu_weight(self, path: str, shares: int) -> None:
        if self.is_unified:
            # The runtime's own conversion of 2..262144 shares to a weight of 1..10000.
            weight = 1 + (shares - 2) * 9999 // 262142
            self._write(path, "cpu", "cpu.weight", str(weight))
        else:
            self._write(path, "cpu", "cpu.shares", str(shares))

    def _write_quota(self, path: str, quota: int) -> None:
        if self.is_unified:
            self._write(path, "cpu", "cpu.max", f"{quota} {CPU_PERIOD_MICROSECONDS}")
        else:
            self._write(path, "cpu", "cpu.cfs_period_us", str(CPU_PERIOD_MICROSECONDS))
            self._write(path, "cpu", "cpu.cfs_quota_us", str(quota))

    def _write(self, path: str, controller: str, file: str, text: str) -> None:
        base = self._mount if self.is_unified else self._mount / controller
        target = base / path / file
        if not target.exists():
            log.debug("no %s: the kernel has no such limit", target)
            return
        target.write_text(text)


def _delegate(mount: Path, directory: Path) -> None:
    """cgroup v2: a directory has only those controllers that its parent hands down."""
    wanted = {"cpu", "memory", "pids", "cpuset", "io"}
    for parent in reversed([p for p in directory.parents if p.is_relative_to(mount)]):
        available = set((parent / "cgroup.controllers").read_text().split())
        control = parent / "cgroup.subtree_control"
        missing = (wanted & available) - set(control.read_text().split())
        if missing:
            control.write_text(" ".join(f"+{name}" for name in sorted(missing)))


def _remove_tree(directory: Path) -> bool:
    below = sorted((p for p in directory.rglob("*") if p.is_dir()), reverse=True)
    for path in (*below, directory):
        for pid in (path / "cgroup.procs").read_text().split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue
    for path in (*below, directory):
        try:
            path.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True
