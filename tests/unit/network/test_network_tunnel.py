"""Given nodes and what is on this node's link, who is far and how the kernel is told of it."""

import socket
from typing import Any

import pytest

from sagong.network.routes.routes import Hop, plan_far_routes, plan_routes
from sagong.network.routes.tunnel import (
    Encapsulation,
    far_nodes,
    hardware_address_of,
    plan_tunnel,
)
from sagong.network.routes.vxlan import Neighbour, wanted_neighbours

Obj = dict[str, Any]
BRIDGED = 7  # the family of tables of bridges


def node(name: str, *ips: str, cidrs: tuple[str, ...] = ()) -> Obj:
    return {
        "metadata": {"name": name},
        "spec": {"podCIDRs": list(cidrs)},
        "status": {"addresses": [{"type": "InternalIP", "address": ip} for ip in ips]},
    }


OWN = node("own", "192.0.2.1", cidrs=("10.244.0.0/24", "fd00:1::/64"))
NEAR = node("near", "192.0.2.2", cidrs=("10.244.1.0/24",))
FAR = node("far", "198.51.100.3", "2001:db8::3", cidrs=("10.244.2.0/24", "fd00:2::/64"))
FRESH = node("fresh", "198.51.100.4")
NODES = [OWN, NEAR, FAR, FRESH]


@pytest.mark.parametrize(
    ("mode", "far"),
    [
        (Encapsulation.AUTO, {"far", "fresh"}),
        (Encapsulation.ALWAYS, {"near", "far", "fresh"}),
        (Encapsulation.NEVER, set()),
    ],
)
def test_who_is_far(mode: Encapsulation, far: set[str]) -> None:
    assert far_nodes(NODES, "own", mode, lambda ip: ip.startswith("192.0.2.")) == far


def test_a_far_node_is_known_to_every_table_that_it_takes() -> None:
    tunnel = plan_tunnel(NODES, "own", {"far", "fresh"})
    assert tunnel is not None
    assert (tunnel.local, tunnel.hardware_address) == ("192.0.2.1", hardware_address_of("own"))
    hardware = hardware_address_of("far")
    # The node without a range has no pods yet that anybody could reach.
    assert wanted_neighbours(tunnel) == {
        Neighbour(BRIDGED, "198.51.100.3", hardware),
        Neighbour(socket.AF_INET, "10.244.2.0", hardware),
        Neighbour(socket.AF_INET6, "fd00:2::", hardware),
    }
    assert plan_far_routes(tunnel) == {
        "10.244.2.0/24": Hop("10.244.2.0", "10.244.0.0", by_tunnel=True),
        "fd00:2::/64": Hop("fd00:2::", "fd00:1::", by_tunnel=True),
    }
    routes = plan_routes(NODES, "own", "10.96.0.0/16", {"far", "fresh"})
    assert routes.keys() == {"10.96.0.0/16", "10.244.1.0/24"}


@pytest.mark.parametrize(
    ("nodes", "far"),
    [(NODES, set()), ([FAR], {"far"}), ([node("own", "192.0.2.1"), FAR], {"far"})],
    ids=["nobody is far", "unknown itself", "without a range"],
)
def test_without_far_nodes_or_an_end_there_is_no_tunnel(nodes: list[Obj], far: set[str]) -> None:
    assert plan_tunnel(nodes, "own", far) is None
    assert plan_far_routes(None) == {}


def test_hardware_addresses_differ_and_are_of_one_station() -> None:
    addresses = {hardware_address_of(f"node-{i}") for i in range(100)}
    assert len(addresses) == 100
    assert all(len(a) == 6 and a[0] & 3 == 2 for a in addresses)
