"""Machines in namespaces: made, completed after a kill at any step, and gone without a trace."""

import ipaddress
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sagong.local import network_namespaces as net

from .machines import HERE, run, why_not

pytestmark = pytest.mark.cluster

BRIDGE = "sagong-ns0"
SUBNET = ipaddress.IPv4Network("172.31.252.0/24")
NODE = "ns-test"


def traces() -> set[str]:
    """Everything on this host that bears the names of this file."""
    links = [link["ifname"] for link in json.loads(output("ip", "-j", "link"))]
    routes = [json.dumps(r) for r in json.loads(output("ip", "-j", "route"))]
    found = [n for n in links if n in (BRIDGE, net.host_interface(NODE))]
    found += [r for r in routes if "172.31.252." in r or "10.243." in r]
    found += [str(p) for p in net.NETNS_DIR.glob(f"*{NODE}*")]
    found += [line for line in output("nft", "list", "ruleset").splitlines() if BRIDGE in line]
    return set(found) | {str(p) for p in Path("/run").glob(f"sagong-{BRIDGE}*")}


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def assert_reaches(namespace: Path, address: ipaddress.IPv4Address) -> None:
    """A refusal is an answer too: nobody listens there."""
    client = str(HERE / "request_client.py")
    assert run(namespace, sys.executable, client, "tcp", str(address), "1", "1") == "refused\n"


@pytest.fixture
def bridge() -> Iterator[net.HostBridge]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    assert traces() == set()
    try:
        yield net.create_bridge(BRIDGE, SUBNET)
    finally:
        net.delete_node_network(NODE)
        net.delete_bridge(BRIDGE)
        assert traces() == set()


def test_a_node_reaches_the_host_and_is_made_once(bridge: net.HostBridge) -> None:
    link = net.create_node_network(NODE, bridge, index=3)
    assert str(link.address) == "172.31.252.5"
    assert NODE in net.list_node_networks()
    assert net.find_bridge(BRIDGE) == bridge
    before = run(link.namespace, "ip", "-j", "addr")
    assert net.create_bridge(BRIDGE) == bridge
    assert net.create_node_network(NODE, bridge, index=3) == link
    assert run(link.namespace, "ip", "-j", "addr") == before
    assert_reaches(link.namespace, bridge.gateway)


def test_host_routes_to_pods(bridge: net.HostBridge) -> None:
    link = net.create_node_network(NODE, bridge, index=0)
    net.add_host_route("10.243.7.0/24", link)
    net.add_host_route("10.243.7.0/24", link)
    assert "via 172.31.252.2" in output("ip", "route", "show", "10.243.7.0/24")
    net.delete_host_route("10.243.7.0/24", link)
    net.delete_host_route("10.243.7.0/24", link)
    assert output("ip", "route", "show", "10.243.7.0/24") == ""
    net.add_host_route("10.243.7.0/24", link)  # goes with the bridge


class Killed(BaseException):
    """The process died here."""


@pytest.mark.parametrize("steps", range(12))
def test_a_kill_at_any_step_is_made_good(
    bridge: net.HostBridge, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        whole, left = net._run, steps

        def run_until_killed(command: Any, **options: Any) -> str:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return whole(command, **options)

        patch.setattr(net, "_run", run_until_killed)
        try:
            net.create_node_network(NODE, bridge, index=0)
        except Killed:
            pass
    if steps % 2:
        net.delete_node_network(NODE)
        assert NODE not in net.list_node_networks()
    link = net.create_node_network(NODE, bridge, index=0)
    assert_reaches(link.namespace, bridge.gateway)


def test_a_name_without_a_namespace_is_what_an_unclean_end_leaves(bridge: net.HostBridge) -> None:
    net.NETNS_DIR.mkdir(exist_ok=True)
    net.namespace_path(NODE).touch()
    assert NODE in net.list_node_networks()
    link = net.create_node_network(NODE, bridge, index=0)
    run(link.namespace, "ip", "link", "show", "eth0")


def test_deleting_what_is_not_there_is_fine(bridge: net.HostBridge) -> None:
    net.delete_node_network(NODE)
    net.delete_node_network(NODE)
    net.delete_bridge(BRIDGE)
    net.delete_bridge(BRIDGE)


def test_what_is_on_another_bridge_stays(bridge: net.HostBridge) -> None:
    net.create_node_network(NODE, bridge, index=0)
    net.delete_all("sagong-ns1")
    assert NODE in net.list_node_networks()
    net.delete_all(BRIDGE)
    assert traces() == set()


def test_a_subnet_is_chosen_that_nothing_uses() -> None:
    taken = [ipaddress.IPv4Network("172.30.0.0/23"), ipaddress.IPv4Network("172.30.2.128/25")]
    assert net.choose_subnet(taken) == ipaddress.IPv4Network("172.30.3.0/24")
    with pytest.raises(net.NetworkError):
        net.choose_subnet([ipaddress.IPv4Network("172.16.0.0/12")])


def test_an_index_outside_the_subnet_is_refused() -> None:
    with pytest.raises(ValueError):
        net.HostBridge("x", SUBNET).address(net.NODES_MAX)
