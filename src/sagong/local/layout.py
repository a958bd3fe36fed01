"""Where a cluster on this machine keeps its files: one directory for state, one for sockets.

<data>/cluster.json            what ``sagong up`` was asked for
<data>/server/                 the server's own data directory (store, certificates, kubeconfig)
<data>/nodes/<node>/           one agent's data directory, its containerd's root, its volumes
<data>/logs/<program>.log      one log a program
<run>/<program>.pid            one pid file a program
<run>/<node>/                  sockets and state of a node's containerd
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

DEFAULT_DATA_DIR = Path("/var/lib/sagong")
DEFAULT_RUN_DIR = Path("/run/sagong")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one local cluster."""

    data_dir: Path = DEFAULT_DATA_DIR
    run_dir: Path = DEFAULT_RUN_DIR

    @property
    def server_dir(self) -> Path:
        return self.data_dir / "server"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.server_dir / "admin.kubeconfig"

    def node_dir(self, node: str) -> Path:
        return self.data_dir / "nodes" / node

    def node_run_dir(self, node: str) -> Path:
        return self.run_dir / node

    def log_file(self, program: str) -> Path:
        return self.data_dir / "logs" / f"{program}.log"

    def pid_file(self, program: str) -> Path:
        return self.run_dir / f"{program}.pid"

    @property
    def description_file(self) -> Path:
        return self.data_dir / "cluster.json"


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """What runs on this machine, as ``sagong up`` was asked for it."""

    nodes: Sequence[str]
    isolated: bool  # each node in a network namespace of its own
    server_url: str
    port: int
    simulated: int = 0  # nodes that only pretend
    ip_family: str = "ipv4"

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orjson.dumps(self, option=orjson.OPT_INDENT_2))

    @classmethod
    def read(cls, path: Path) -> "ClusterDescription | None":
        """The description, or None if there is no cluster."""
        try:
            fields = orjson.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        return cls(
            nodes=tuple(fields["nodes"]),
            isolated=fields["isolated"],
            server_url=fields["server_url"],
            port=fields["port"],
            simulated=fields.get("simulated", 0),
            ip_family=fields.get("ip_family", "ipv4"),
        )
