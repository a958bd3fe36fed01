"""Several machines on this host: a network namespace each, joined by a bridge.

A node's namespace is bound at ``/run/netns/sagong-<node>``; enter it with ``nsenter --net=PATH``
(``ip netns exec`` would remount /sys and hide the cgroups from runc). Its ``eth0`` is one end of a
veth pair whose other end is a port of the host's bridge; the host has the first address of the
subnet and routes for the nodes. With ``ipv6`` all have an address of a private IPv6 network too, by
which they reach each other and the host, and nobody else.

Every function takes the world as it finds it: each step is done only if its effect is missing, so
that after a kill at any point the same call, or a deletion, completes the work. Everything made
here is named ``sagong...``, which is also how it is found again; no file remembers it, but for
the host's forwarding switch as it was before us.
"""

import hashlib
import ipaddress
import json
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_BRIDGE = "sagong0"
PREFIX = "sagong-"
NETNS_DIR = Path("/run/netns")
NODES_MAX = 200  # addresses .2 to .201 of the /24
# Where the subnet may be; the first that no route of the host touches is taken.
SUBNET_CANDIDATES = tuple(ipaddress.IPv4Network(f"172.30.{i}.0/24") for i in range(256))
# The subnets of IPv6 are this network's, numbered as those of IPv4 are ("Sagong" in letters).
_IPV6_NETWORK = ipaddress.IPv6Address("fd53:6167:6f6e::")
_NAT_TABLE = "sagong-host"
_FORWARD_SWITCH = Path("/proc/sys/net/ipv4/ip_forward")
_COMMAND_SECONDS_MAX = 30.0


class NetworkError(Exception):
    """A command of the kernel's network tools failed; the message says which and why."""


@dataclass(frozen=True, slots=True)
class HostBridge:
    """The network that joins the nodes on this host."""

    name: str
    subnet: ipaddress.IPv4Network

    @property
    def gateway(self) -> ipaddress.IPv4Address:
        """The host's own address on the bridge."""
        return self.subnet.network_address + 1

    def address(self, index: int) -> ipaddress.IPv4Address:
        """The address of the node with an index from 0."""
        if not 0 <= index < NODES_MAX:
            raise ValueError(f"node index {index} is not in 0..{NODES_MAX - 1}")
        return self.subnet.network_address + 2 + index

    @property
    def ipv6_subnet(self) -> ipaddress.IPv6Network:
        number = int(self.subnet.network_address) >> 8 & 0xFFFF
        return ipaddress.IPv6Network((_IPV6_NETWORK + (number << 64), 64))

    @property
    def ipv6_gateway(self) -> ipaddress.IPv6Address:
        return self.ipv6_subnet[1]


@dataclass(frozen=True, slots=True)
class NodeLink:
    """A node's own place on the network."""

    node: str
    namespace: Path  # for nsenter --net=
    address: ipaddress.IPv4Address
    bridge: str
    ipv6_address: ipaddress.IPv6Address | None = None


def create_bridge(
    name: str = DEFAULT_BRIDGE,
    subnet: ipaddress.IPv4Network | None = None,
    *,
    nat: bool = True,
    ipv6: bool = False,
) -> HostBridge:
    """Make the bridge, or complete and return the one that is there.

    Without a subnet a free one is chosen. With ``nat``, what nodes send outside goes out under
    the host's address, if the host has a default route. Raises NetworkError.
    """
    bridge = find_bridge(name)
    if bridge is None:
        bridge = HostBridge(name, subnet or choose_subnet(_host_networks()))
        if not _link_exists(name):
            _ip("link", "add", name, "type", "bridge", "stp_state", "0", "forward_delay", "0")
        address = f"{bridge.gateway}/{bridge.subnet.prefixlen}"
        _ip("addr", "replace", address, "dev", name)
    if ipv6:
        _accept_at_once(name)
        _ip("addr", "replace", f"{bridge.ipv6_gateway}/64", "dev", name, "nodad")
    _ip("link", "set", name, "up")
    _remember_forwarding(name)
    _FORWARD_SWITCH.write_text("1\n")
    if nat and _json("route", "show", "default"):
        _add_nat(bridge)
    return bridge


def find_bridge(name: str = DEFAULT_BRIDGE) -> HostBridge | None:
    """The bridge with its subnet, or None if it is missing or has no address yet."""
    for link in _json("-4", "addr", "show"):
        if link["ifname"] == name and link["addr_info"]:
            info = link["addr_info"][0]
            interface = ipaddress.IPv4Interface(f"{info['local']}/{info['prefixlen']}")
            return HostBridge(name, interface.network)
    return None


def choose_subnet(taken: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """The first candidate that overlaps nothing. Raises NetworkError if there is none."""
    networks = tuple(taken)
    for candidate in SUBNET_CANDIDATES:
        if not any(candidate.overlaps(network) for network in networks):
            return candidate
    raise NetworkError("no free subnet in 172.30.0.0/16: name one")


def create_node_network(
    node: str, bridge: HostBridge, *, index: int, ipv6: bool = False
) -> NodeLink:
    """Give a node its namespace, link, address and default route; complete what is there.

    The same index gives the same address. Raises NetworkError.
    """
    address = bridge.address(index)
    ipv6_address = bridge.ipv6_subnet[2 + index] if ipv6 else None
    link = NodeLink(node, namespace_path(node), address, bridge.name, ipv6_address)
    if not _is_namespace(link.namespace):
        # A file without a mounted namespace is what a kill in the middle leaves.
        link.namespace.unlink(missing_ok=True)
        _ip("netns", "add", link.namespace.name)
    inside = ("-n", link.namespace.name)
    host_end = host_interface(node)
    if not _link_exists("eth0", *inside):
        if _link_exists(host_end):
            _ip("link", "del", host_end)
        peer = ("peer", "name", "eth0", "netns", link.namespace.name)
        _ip("link", "add", host_end, "type", "veth", *peer)
    _ip("link", "set", host_end, "master", bridge.name, "up")
    _ip(*inside, "link", "set", "lo", "up")
    _ip(*inside, "addr", "replace", f"{link.address}/{bridge.subnet.prefixlen}", "dev", "eth0")
    if ipv6:
        _accept_at_once("eth0", "nsenter", f"--net={link.namespace}")
    _ip(*inside, "link", "set", "eth0", "up")
    _ip(*inside, "route", "replace", "default", "via", str(bridge.gateway))
    if link.ipv6_address is not None:
        _ip(*inside, "addr", "replace", f"{link.ipv6_address}/64", "dev", "eth0", "nodad")
        # Without a default route a program of the node could not even ask for a service.
        _ip(*inside, "-6", "route", "replace", "default", "via", str(bridge.ipv6_gateway))
    return link


def add_host_route(pod_cidr: str, link: NodeLink) -> None:
    """Let the host reach a node's pods; the route goes when the bridge does."""
    gateway = link.ipv6_address if ":" in pod_cidr else link.address
    _ip("route", "replace", pod_cidr, "via", str(gateway), "dev", link.bridge)


def delete_host_route(pod_cidr: str, link: NodeLink) -> None:
    """Undo add_host_route; nothing happens if there is no such route."""
    routes = _json("-6" if ":" in pod_cidr else "-4", "route", "show", pod_cidr)
    if any(route.get("dev") == link.bridge for route in routes):
        _ip("route", "del", pod_cidr, "dev", link.bridge)


def namespace_path(node: str) -> Path:
    """Where a node's namespace is bound."""
    return NETNS_DIR / f"{PREFIX}{node}"


def host_interface(node: str) -> str:
    """The host's end of a node's veth pair; the kernel allows 15 characters."""
    digest = hashlib.sha256(node.encode()).hexdigest()[:8]
    return f"{PREFIX}{digest}"


def list_node_networks() -> tuple[str, ...]:
    """The nodes that have a namespace (or the remains of one) on this host, sorted."""
    if not NETNS_DIR.is_dir():
        return ()
    return tuple(sorted(path.name[len(PREFIX) :] for path in NETNS_DIR.glob(f"{PREFIX}*")))


def delete_node_network(node: str) -> None:
    """Take a node's namespace and link away; nothing happens if there are none.

    Processes that still run in the namespace keep it alive, unnamed: stop them first.
    """
    if _link_exists(host_interface(node)):
        _ip("link", "del", host_interface(node))
    path = namespace_path(node)
    if _is_namespace(path):
        _ip("netns", "del", path.name)
    path.unlink(missing_ok=True)


def delete_bridge(name: str = DEFAULT_BRIDGE) -> None:
    """Take the bridge, its routes and the host's NAT away and give back the forwarding switch."""
    if _link_exists(name):
        _ip("link", "del", name)
    _remove_nat(name)
    _restore_forwarding(name)


def delete_all(bridge: str = DEFAULT_BRIDGE) -> None:
    """Take the bridge, the networks of its nodes, and unlinked remains of nodes away."""
    masters = {link["ifname"]: link.get("master") for link in _json("link", "show")}
    for node in list_node_networks():
        # A node on another bridge is another cluster's.
        if masters.get(host_interface(node)) in (bridge, None):
            delete_node_network(node)
    delete_bridge(bridge)


def _host_networks() -> Iterable[ipaddress.IPv4Network]:
    for route in _json("-4", "route", "show", "table", "all"):
        destination = route["dst"]
        if destination != "default":
            yield ipaddress.IPv4Network(destination, strict=False)


def _accept_at_once(device: str, *inside: str) -> None:
    """Do without asking whether somebody else has an address of IPv6: nobody is there who could,
    and for a second or two the device would forward nothing."""
    _run((*inside, "tee", f"/proc/sys/net/ipv6/conf/{device}/accept_dad"), stdin="0\n")


def _is_namespace(path: Path) -> bool:
    """Whether a namespace is bound there: its file then lives on the kernel's nsfs."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False


def _link_exists(name: str, *options: str) -> bool:
    return any(link["ifname"] == name for link in _json(*options, "link", "show"))


def _forwarding_file(bridge: str) -> Path:
    return Path(f"/run/{PREFIX}{bridge}-ip-forward")


def _remember_forwarding(bridge: str) -> None:
    path = _forwarding_file(bridge)
    if not path.exists():
        path.write_text(_FORWARD_SWITCH.read_text())


def _restore_forwarding(bridge: str) -> None:
    path = _forwarding_file(bridge)
    # Another bridge of ours may still need forwarding; the last one to go gives the switch back.
    others = [p for p in Path("/run").glob(f"{PREFIX}*-ip-forward") if p != path]
    if path.exists():
        before = path.read_text()
        if others:
            others[0].write_text(before)
        else:
            _FORWARD_SWITCH.write_text(before)
        path.unlink()


def _nat_chain(bridge: str) -> str:
    return f"postrouting-{bridge}"


def _add_nat(bridge: HostBridge) -> None:
    chain = _nat_chain(bridge.name)
    _nft(
        f"add table ip {_NAT_TABLE}\n"
        f"add chain ip {_NAT_TABLE} {chain}"
        " { type nat hook postrouting priority 100; policy accept; }\n"
        f"flush chain ip {_NAT_TABLE} {chain}\n"
        f"add rule ip {_NAT_TABLE} {chain}"
        f' ip saddr {bridge.subnet} oifname != "{bridge.name}" masquerade\n'
    )


def _remove_nat(bridge: str) -> None:
    if shutil.which("nft") is None:
        return
    listing = _run(("nft", "-j", "list", "ruleset", "ip"))
    chains = [
        entry["chain"]["name"]
        for entry in json.loads(listing)["nftables"]
        if "chain" in entry and entry["chain"]["table"] == _NAT_TABLE
    ]
    if not set(chains) - {_nat_chain(bridge)}:
        _nft(f"add table ip {_NAT_TABLE}\ndelete table ip {_NAT_TABLE}\n")
    elif _nat_chain(bridge) in chains:
        _nft(f"delete chain ip {_NAT_TABLE} {_nat_chain(bridge)}\n")


def _nft(text: str) -> None:
    _run(("nft", "-f", "-"), stdin=text)


def _ip(*arguments: str) -> None:
    _run(("ip", *arguments))


def _json(*arguments: str) -> list[dict[str, Any]]:
    # Between listing and reading, iproute2 prints an empty object for a link that just went.
    return [entry for entry in json.loads(_run(("ip", "-j", *arguments)) or "[]") if entry]


def _run(command: Sequence[str], *, stdin: str = "") -> str:
    try:
        result = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS_MAX,
            check=True,
        )
    except FileNotFoundError as error:
        raise NetworkError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise NetworkError(f"{' '.join(command)}: no answer") from error
    except subprocess.CalledProcessError as error:
        raise NetworkError(f"{' '.join(command)}: {error.stderr.strip()}") from error
    return result.stdout
