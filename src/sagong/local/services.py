"""systemd units of the two programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

UNIT_DIR = Path("/etc/systemd/system")


@dataclass(frozen=True, slots=True)
class Unit:
    name: str
    text: str


# The server needs no privilege: it runs as a user of its own that systemd makes.
_SERVER = """\
[Unit]
Description=Sagong server (Kubernetes API, controllers, scheduler)
After=network-online.target
Wants=network-online.target

[Service]
ExecStart={program} server --config {config}
DynamicUser=yes
StateDirectory=sagong-server
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
NoNewPrivileges=yes
LimitNOFILE=1048576
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""

# The agent runs containers: root, and its children outlive it (adopted when it is back).
_AGENT = """\
[Unit]
Description=Sagong agent (Kubernetes node)
After=network-online.target containerd.service
Wants=network-online.target containerd.service

[Service]
ExecStart={program} agent --config {config}
KillMode=process
Delegate=yes
LimitNOFILE=1048576
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""

_TEXTS = {"server": _SERVER, "agent": _AGENT}


def plan_units(name: str, *, program: Path, config: Path) -> Sequence[Unit]:
    """The units that run one program (``server`` or ``agent``) from a configuration file."""
    text = _TEXTS[name].format(program=program, config=config)
    return (Unit(f"sagong-{name}.service", text),)
