"""What an agent must be told: who the node is, where its files are, how it behaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sagong.node.alignment.settings import AlignmentSettings
from sagong.node.shutdown.groups import ShutdownSettings

KUBELET_VERSION = "v1.36.2"  # the version whose behaviour this agent shows (nodeInfo)


EVICTION_HARD = {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
}


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """One entry of ``status.addresses``."""

    type: str  # InternalIP, ExternalIP, Hostname, ...
    address: str


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """The settings of one agent. Times are seconds, sizes bytes; defaults are upstream's."""

    name: str
    data_dir: Path  # pods' volumes and files, checkpoints; only root may read it
    runtime_endpoint: str  # unix:///path of a CRI socket
    addresses: Sequence[NodeAddress]
    log_dir: Path = Path("/var/log/pods")
    # The path by which plugins know the data directory, a link to it; None: the directory itself.
    plugin_view: Path | None = None

    # Pods' networking. The conflist is the business of network/routes.
    cluster_dns: Sequence[str] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: Path = Path("/etc/resolv.conf")
    pod_cidr: str = ""  # "" takes spec.podCIDR, which the node IPAM controller writes

    # Registration.
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()
    unschedulable: bool = False
    max_pods: int = 110
    kubelet_port: int = 10250
    # What the machine has, minus these, is allocatable: resource name -> quantity.
    reserved: Mapping[str, str] = field(default_factory=dict)
    # Several agents on one machine each report a share of it: 1/capacity_share of CPU and memory.
    capacity_share: int = 1

    # Processors and memory of their own for pods (node/alignment).
    alignment: AlignmentSettings = field(default_factory=AlignmentSettings)

    # How long a shutdown of the machine waits for pods (node/shutdown).
    shutdown: ShutdownSettings = field(default_factory=ShutdownSettings)
    logind_settings_dir: Path = Path("/etc/systemd/logind.conf.d")

    # Devices by ResourceClaims: descriptions for runtimes without CDI, and how long the slices of
    # a driver that has gone are left.
    cdi_dirs: Sequence[Path] = (Path("/etc/cdi"), Path("/var/run/cdi"))
    slice_wipe_seconds: float = 30.0

    # Sysctls beyond the safe ones that pods may set; may end in "*" (allowedUnsafeSysctls).
    allowed_unsafe_sysctls: Sequence[str] = ()

    # Manifests of pods that run without the API (staticPodPath).
    static_pod_dir: Path | None = None

    # Cgroups. One root for each agent on a machine: "kubepods" alone, else "kubepods-<node>".
    cgroup_root: str = "kubepods"
    cgroup_mount: Path = Path("/sys/fs/cgroup")
    # False where nothing may lower oom_score_adj (no CAP_SYS_RESOURCE): negative values become 0.
    may_lower_oom_score: bool = True

    # Timing.
    lease_seconds: int = 40
    lease_renew_seconds: float = 10.0
    status_seconds: float = 10.0  # how often the node's conditions are looked at
    status_report_seconds: float = 300.0  # how often they are written though nothing changed
    relist_seconds: float = 1.0  # while the runtime offers no events; with them it is a safety net
    volume_refresh_seconds: float = 30.0  # ConfigMaps, Secrets and tokens in volumes
    # A Ready pod whose deletion begins is given this long before SIGTERM, within its grace period,
    # so that every node's proxy has dropped it before it stops to accept. Upstream gives none.
    drain_seconds: float = 1.0
    crash_back_off_max_seconds: float = 300.0

    # Eviction: signal -> quantity or share (node/eviction). Soft ones have their grace.
    eviction_hard: Mapping[str, str] = field(default_factory=lambda: dict(EVICTION_HARD))
    eviction_soft: Mapping[str, str] = field(default_factory=dict)
    eviction_soft_grace_seconds: Mapping[str, float] = field(default_factory=dict)
    eviction_minimum_reclaim: Mapping[str, str] = field(default_factory=dict)
    eviction_max_pod_grace_seconds: float = 0.0
    eviction_transition_seconds: float = 300.0  # how long a condition stays after its cause
    eviction_seconds: float = 10.0  # between two looks

    # Images and logs.
    image_gc_high_percent: int = 85
    image_gc_low_percent: int = 80
    sandbox_image: str = "sagong.local/pause:1"
    log_bytes_max: int = 10 * 1024 * 1024
    log_files_max: int = 5

    @property
    def internal_ip(self) -> str:
        """The first InternalIP, or "" if there is none."""
        return next((a.address for a in self.addresses if a.type == "InternalIP"), "")

    @property
    def host_ips(self) -> Sequence[str]:
        return [a.address for a in self.addresses if a.type == "InternalIP"]

    def pod_dir(self, uid: str) -> Path:
        """Everything of one pod that is on disk, its logs excepted."""
        return self.data_dir / "pods" / uid
