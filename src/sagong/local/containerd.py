"""A private containerd: its configuration, its start and stop, and the removal of all it leaves.

Each node of a local cluster has one, with root, state, socket, CNI configuration and runc state of
its own, so that nodes on one machine share nothing. Containers outlive it on purpose (their shims
are separate processes); only ``purge`` ends them.
"""

import asyncio
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sagong.local import processes
from sagong.local.images import (
    BUSYBOX_IMAGE,
    PAUSE_IMAGE,
    busybox_image,
    has_busybox,
    import_images,
    pause_image,
)
from sagong.local.preflight import cni_plugin_dir

log = logging.getLogger(__name__)

START_SECONDS = 30.0  # a cold start takes 0.3 s here; a loaded machine needs more
_POLL_SECONDS = 0.02
_CNI_CACHE = Path("/var/lib/cni/results")  # libcni's fixed place, shared by all instances
_CGROUP_ROOT = Path("/sys/fs/cgroup")

_CONFIG = """\
version = 2
root = "{root}"
state = "{state}"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing"]

[grpc]
  address = "{socket}"

[ttrpc]
  address = "{socket}.ttrpc"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox_image}"
  restrict_oom_score_adj = {restrict_oom}
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  stats_collect_period = 60
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_bin_dir}"
    conf_dir = "{cni_conf_dir}"
    max_conf_num = 1

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{registry_dir}"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{state}/runc"
"""


@dataclass(frozen=True, slots=True)
class ContainerdInstance:
    """One containerd. Paths must be absolute; a socket's path may have 100 bytes at most."""

    root: Path  # images, snapshots, container metadata: survives a reboot
    state: Path  # sockets of shims, mounts: gone with a reboot
    socket: Path
    network_namespace: str | None = None  # path of a network namespace; None is the host's

    @property
    def cni_conf_dir(self) -> Path:
        """Where the node's one conflist belongs; containerd notices changes by itself."""
        return self.root.parent / "cni"

    @property
    def config_file(self) -> Path:
        return self.root.parent / "containerd.toml"

    @property
    def log_file(self) -> Path:
        return self.root.parent / "containerd.log"

    @property
    def pid_file(self) -> Path:
        return self.socket.parent / "containerd.pid"

    @property
    def endpoint(self) -> str:
        """The CRI endpoint as a gRPC target."""
        return f"unix://{self.socket}"


def instance_for(
    data_dir: Path, run_dir: Path, *, network_namespace: str | None = None
) -> ContainerdInstance:
    """The instance of a node that keeps its files in these two directories."""
    return ContainerdInstance(
        root=data_dir / "containerd",
        state=run_dir / "containerd",
        socket=run_dir / "containerd.sock",
        network_namespace=network_namespace,
    )


def render_config(instance: ContainerdInstance, *, restrict_oom_score_adj: bool) -> str:
    """The configuration file; the same input gives the same text."""
    return _CONFIG.format(
        root=instance.root,
        state=instance.state,
        socket=instance.socket,
        sandbox_image=PAUSE_IMAGE,
        restrict_oom="true" if restrict_oom_score_adj else "false",
        cni_bin_dir=cni_plugin_dir() or "/opt/cni/bin",
        cni_conf_dir=instance.cni_conf_dir,
        registry_dir=instance.root.parent / "registries",
    )


def may_lower_oom_score() -> bool:
    """Whether this process holds CAP_SYS_RESOURCE, which lowering oom_score_adj needs."""
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> 24 & 1)


def is_running(instance: ContainerdInstance) -> bool:
    return processes.read_pid_file(instance.pid_file) is not None


async def start(instance: ContainerdInstance) -> processes.Process:
    """Start it unless it runs, wait until its CRI answers, and give it the pause image.

    Raises RuntimeError with the end of its log if it does not come up.
    """
    running = processes.read_pid_file(instance.pid_file)
    if running is not None:
        return running
    for directory in (instance.root, instance.state, instance.cni_conf_dir):
        directory.mkdir(parents=True, exist_ok=True, mode=0o711)
    (instance.root.parent / "registries").mkdir(exist_ok=True)
    text = render_config(instance, restrict_oom_score_adj=not may_lower_oom_score())
    descriptor = os.open(instance.config_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    process = processes.start_detached(
        [shutil.which("containerd") or "containerd", "--config", str(instance.config_file)],
        log_file=instance.log_file,
        pid_file=instance.pid_file,
        namespace=instance.network_namespace,
    )
    await _wait_answering(instance, process)
    await _import_own_images(instance)
    return process


async def keep_running(instance: ContainerdInstance) -> None:
    """Start it whenever it does not run, until cancelled. Raises RuntimeError as ``start``."""
    while True:
        process = await start(instance)
        await processes.wait_ended(process)
        log.warning("containerd (pid %d) has ended; it is started again", process.pid)


async def _import_own_images(instance: ContainerdInstance) -> None:
    """The pause image, and busybox for helper pods where busybox-static is installed."""
    present = (await _ctr(instance.socket, "-n", "k8s.io", "images", "ls", "-q")).split()
    makers = {PAUSE_IMAGE: pause_image, BUSYBOX_IMAGE: busybox_image}
    if not has_busybox():
        del makers[BUSYBOX_IMAGE]
    images = [make() for reference, make in makers.items() if reference not in present]
    if images:
        await import_images(instance.socket, instance.root.parent, *images)


async def stop(instance: ContainerdInstance) -> None:
    """End the daemon; containers go on and are found again by the next start."""
    process = processes.read_pid_file(instance.pid_file)
    if process is not None:
        await processes.stop(process)
    instance.pid_file.unlink(missing_ok=True)


async def halt(instance: ContainerdInstance, *, cgroup_roots: Sequence[str] = ()) -> None:
    """Stop it with all its containers; images and its records stay for the next start.

    ``cgroup_roots`` names the cgroups of its node's pods, as ``kubepods-<node>``. Works after any
    crash, and a second time.
    """
    await stop(instance)
    await _end_shims(instance)
    unmount_under((instance.root, instance.state))
    _remove_cni_records(instance)
    for name in cgroup_roots:
        await remove_cgroup(name)
    shutil.rmtree(instance.state, ignore_errors=True)


async def purge(instance: ContainerdInstance, *, cgroup_roots: Sequence[str] = ()) -> None:
    """Halt it and remove everything, images and records included."""
    await halt(instance, cgroup_roots=cgroup_roots)
    registries = instance.root.parent / "registries"
    for path in (instance.root, instance.cni_conf_dir, registries):
        shutil.rmtree(path, ignore_errors=True)
    for path in (instance.config_file, instance.log_file, instance.socket,
                 instance.socket.with_name(instance.socket.name + ".ttrpc")):  # fmt: skip
        path.unlink(missing_ok=True)


def mounts_under(roots: Iterable[Path]) -> list[Path]:
    """Mount points at or below directories, innermost first (``proc(5)``, mountinfo)."""
    prefixes = [str(root) for root in roots]
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if any(point == prefix or point.startswith(prefix + "/") for prefix in prefixes):
            found.append(Path(point))
    return found[::-1]


def unmount_under(roots: Iterable[Path]) -> None:
    """Detach every mount at or below directories."""
    for mount_point in mounts_under(roots):
        subprocess.run(["umount", "-l", str(mount_point)], check=False, capture_output=True)


async def remove_cgroup(name: str) -> None:
    """Kill what is left in a cgroup of any hierarchy and remove it with all below it."""
    for directory in _cgroup_directories(name):
        _kill_all((directory / "cgroup.procs").read_text().split())
    for directory in _cgroup_directories(name):
        await _remove_directory(directory)


def _cgroup_directories(name: str) -> list[Path]:
    """A cgroup's directories in all hierarchies, innermost first."""
    bases = [_CGROUP_ROOT / name, *(_CGROUP_ROOT.glob(f"*/{name}"))]
    found: list[Path] = []
    for base in (b for b in bases if b.is_dir()):
        found += sorted((p for p in base.rglob("*") if p.is_dir()), reverse=True)
        found.append(base)
    return found


async def _wait_answering(instance: ContainerdInstance, process: processes.Process) -> None:
    attempts = int(START_SECONDS / _POLL_SECONDS)
    for _ in range(attempts):
        if await _answers(instance.socket):
            return
        if not processes.is_alive(process):
            break
        await asyncio.sleep(_POLL_SECONDS)
    tail = instance.log_file.read_text(errors="replace").splitlines()[-5:]
    raise RuntimeError(f"containerd did not start ({instance.log_file}):\n" + "\n".join(tail))


async def _answers(socket: Path) -> bool:
    """Whether the CRI plugin serves: its status is known to ``ctr`` as ``ok``."""
    output = await _ctr(socket, "--timeout", "2s", "plugins", "ls")
    rows = [line.split() for line in output.splitlines()]
    return any(row[1:2] == ["cri"] and row[-1] == "ok" for row in rows)


async def _ctr(socket: Path, *arguments: str) -> str:
    """What ``ctr`` prints; "" if it fails."""
    process = await asyncio.create_subprocess_exec(
        shutil.which("ctr") or "ctr",
        "-a",
        str(socket),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    return output.decode()


async def _end_shims(instance: ContainerdInstance) -> None:
    """Kill the shims of this instance and the containers below them, by their command line."""
    address = str(instance.socket)
    shims = [pid for pid in _pids() if _is_shim_of(pid, address)]
    for shim in shims:
        _kill_all([str(pid) for pid in _children(shim)])
    _kill_all([str(pid) for pid in shims])
    for _ in range(200):
        if not any(_is_shim_of(pid, address) for pid in shims):
            break
        await asyncio.sleep(_POLL_SECONDS)
    _remove_shim_sockets(instance.state)


def _remove_shim_sockets(state: Path) -> None:
    """Shims listen in /run/containerd/s whatever the state directory is; they wrote down where."""
    for file in state.glob("io.containerd.runtime.v2.task/*/*/address"):
        Path(file.read_text().strip().removeprefix("unix://")).unlink(missing_ok=True)


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _is_shim_of(pid: int, address: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return "containerd-shim" in words[0] and address in words


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def _kill_all(pids: Iterable[str]) -> None:
    for pid in pids:
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            continue


async def _remove_directory(directory: Path) -> None:
    """rmdir, retried while killed processes are still on their way out."""
    for _ in range(100):
        if _rmdir(directory):
            return
        await asyncio.sleep(_POLL_SECONDS)


def _rmdir(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _remove_cni_records(instance: ContainerdInstance) -> None:
    """libcni's cached results of sandboxes that were never torn down."""
    sandboxes = instance.root / "io.containerd.grpc.v1.cri" / "sandboxes"
    if not sandboxes.is_dir() or not _CNI_CACHE.is_dir():
        return
    identifiers = {entry.name for entry in sandboxes.iterdir()}
    for record in _CNI_CACHE.iterdir():
        if any(identifier in record.name for identifier in identifiers):
            record.unlink(missing_ok=True)
