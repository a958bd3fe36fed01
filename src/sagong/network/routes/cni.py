"""The CNI configuration of a node: how the runtime links a pod to the node.

A bridge with host-local addresses from the node's pod CIDR, then portmap for hostPorts and
bandwidth for the ``kubernetes.io/*-bandwidth`` annotations where their plugins are installed.
Masquerading is not CNI's: the service proxy's table does it for whatever leaves the cluster.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import orjson

from sagong.api.address_ranges import family_of
from sagong.api.types import Obj

CONFLIST_NAME = "10-sagong.conflist"
CNI_VERSION = "0.4.0"  # what every containerd since 1.4 and every plugin since 0.8 speaks
NETWORK_NAME = "sagong"
_EVERYWHERE = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}


@dataclass(frozen=True, slots=True)
class PodLinks:
    """What the configuration depends on."""

    pod_cidrs: tuple[str, ...]  # one, or one of each family
    bridge: str
    # Where host-local remembers which addresses are taken; one directory a node, or two nodes on
    # one host would share their memory.
    ipam_dir: Path
    plugins: frozenset[str]  # names of the installed ones
    # Whether the kernel shows bridged packets to nftables. Where it does not, the answer of a pod
    # to a neighbour that asked a service would not be rewritten back, so that each pod gets a link
    # of its own (the ptp plugin) and every packet is routed.
    bridge_is_filtered: bool = True
    mtu: int | None = None  # bytes; None: the kernel's default


def installed_plugins(directories: Collection[Path]) -> frozenset[str]:
    """The names of the CNI plugins in some directories."""
    return frozenset(
        path.name for directory in directories if directory.is_dir() for path in directory.iterdir()
    )


def plan_conflist(links: PodLinks) -> Obj:
    """The configuration list (CNI specification 0.4.0, section "Network Configuration Lists")."""
    plugins = [_link(links)]
    if "portmap" in links.plugins:
        plugins.append({"type": "portmap", "capabilities": {"portMappings": True}, "snat": True})
    if "bandwidth" in links.plugins:
        plugins.append({"type": "bandwidth", "capabilities": {"bandwidth": True}})
    return {"cniVersion": CNI_VERSION, "name": NETWORK_NAME, "plugins": plugins}


def _link(links: PodLinks) -> Obj:
    ipam: Obj = {
        "type": "host-local",
        "dataDir": str(links.ipam_dir),
        "ranges": [[{"subnet": cidr}] for cidr in links.pod_cidrs],
    }
    link: Obj = {"type": "ptp", "ipMasq": False, "ipam": ipam}
    if links.bridge_is_filtered:
        link |= {"type": "bridge", "bridge": links.bridge, "isDefaultGateway": True}
        # A pod that reaches itself through a service comes back by the port that it left by.
        link["hairpinMode"] = True
    else:
        ipam["routes"] = [{"dst": _EVERYWHERE[family_of(cidr)]} for cidr in links.pod_cidrs]
    if links.mtu is not None:
        link["mtu"] = links.mtu
    return link


def write_conflist(directory: Path, conflist: Obj) -> bool:
    """Put the configuration where the runtime looks for it, at once; False if it is there."""
    path = directory / CONFLIST_NAME
    data = orjson.dumps(conflist, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if path.exists() and path.read_bytes() == data:
        return False
    directory.mkdir(parents=True, exist_ok=True)
    # The runtime loads *.conflist when it appears: a half-written one must not have that name.
    temporary = directory / (CONFLIST_NAME + ".tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
    return True


def remove_conflist(directory: Path) -> None:
    (directory / CONFLIST_NAME).unlink(missing_ok=True)
