"""Routes, the CNI configuration and kernel settings, as far as no kernel is needed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from sagong.api.types import Key
from sagong.network.policy.model import pod_facts
from sagong.network.proxy.endpoints import endpoints_of
from sagong.network.proxy.services import ServicePort
from sagong.network.routes.announcing import plan_announced
from sagong.network.routes.cni import (
    CONFLIST_NAME,
    PodLinks,
    plan_conflist,
    remove_conflist,
    write_conflist,
)
from sagong.network.routes.nodes import internal_ip
from sagong.network.routes.routes import Hop, plan_routes
from sagong.network.routes.sysctl import SysctlError, Sysctls
from sagong.network.tables.family import IPV6

Obj = dict[str, Any]


def node(name: str, ip: str | None, cidr: str | None) -> Obj:
    addresses = [
        {"type": "Hostname", "address": name},
        {"type": "InternalIP", "address": "fd00::1"},
    ]
    if ip:
        addresses.append({"type": "InternalIP", "address": ip})
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": cidr} if cidr else {},
        "status": {"addresses": addresses},
    }


def test_a_route_for_every_other_node_that_has_what_it_takes() -> None:
    nodes = [
        node("a", "192.0.2.1", "10.244.0.0/24"),
        node("b", "192.0.2.2", "10.244.1.0/24"),
        node("c", None, "10.244.2.0/24"),
        node("d", "192.0.2.4", None),
    ]
    assert plan_routes(nodes, "a", "10.96.0.0/16") == {
        "10.244.1.0/24": Hop(gateway="192.0.2.2"),
        "10.96.0.0/16": Hop(source="192.0.2.1"),
    }


def test_routes_are_of_the_families_that_nodes_have() -> None:
    both = node("b", "192.0.2.2", None)
    both["spec"]["podCIDRs"] = ["10.244.1.0/24", "fd00:10:244:1::/64"]
    own = node("a", "192.0.2.1", None)
    for obj, ip in ((own, "fd00::1"), (both, "fd00::2")):
        found = (obj["status"]["addresses"][-1], {"type": "InternalIP", "address": ip})
        obj["status"]["addresses"] = list(found)
    assert plan_routes([own, both], "a", "10.96.0.0/16,fd00:96::/112") == {
        "10.96.0.0/16": Hop(source="192.0.2.1"),
        "fd00:96::/112": Hop(source="fd00::1"),
        "10.244.1.0/24": Hop(gateway="192.0.2.2"),
        "fd00:10:244:1::/64": Hop(gateway="fd00::2"),
    }
    assert plan_routes([own, both], "a", "10.96.0.0/16").keys() >= {"fd00:10:244:1::/64"}


def test_before_this_node_is_known_there_is_no_route_to_services() -> None:
    assert plan_routes([], "a", "10.96.0.0/16") == {}


def links(*plugins: str) -> PodLinks:
    return PodLinks(("10.244.3.0/24",), "sagong-cni0", Path("/state/ipam"), frozenset(plugins))


def test_the_cni_configuration_uses_what_is_installed() -> None:
    plugins = plan_conflist(links("bridge", "portmap", "bandwidth"))["plugins"]
    assert [p["type"] for p in plugins] == ["bridge", "portmap", "bandwidth"]
    assert plugins[0]["ipam"]["ranges"] == [[{"subnet": "10.244.3.0/24"}]]
    assert plugins[0]["ipam"]["dataDir"] == "/state/ipam"
    assert plugins[0]["hairpinMode"]
    assert not plugins[0]["ipMasq"]
    assert [p["type"] for p in plan_conflist(links("bridge"))["plugins"]] == ["bridge"]


def test_where_bridges_are_not_filtered_every_packet_is_routed() -> None:
    (link,) = plan_conflist(replace(links(), bridge_is_filtered=False))["plugins"]
    assert link["type"] == "ptp"
    assert link["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}]
    both = replace(links(), bridge_is_filtered=False, pod_cidrs=("10.244.3.0/24", "fd00:3::/64"))
    (link,) = plan_conflist(both)["plugins"]
    assert link["ipam"]["ranges"] == [[{"subnet": "10.244.3.0/24"}], [{"subnet": "fd00:3::/64"}]]
    assert link["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]


def test_the_cni_configuration_is_written_once(tmp_path: Path) -> None:
    directory = tmp_path / "net.d"
    assert write_conflist(directory, plan_conflist(links("portmap")))
    assert not write_conflist(directory, plan_conflist(links("portmap")))
    assert write_conflist(directory, plan_conflist(links()))
    (only,) = directory.iterdir()
    assert only.name == CONFLIST_NAME
    assert orjson.loads(only.read_bytes()) == plan_conflist(links())
    remove_conflist(directory)
    remove_conflist(directory)
    assert list(directory.iterdir()) == []


@pytest.fixture
def proc_sys(tmp_path: Path) -> Path:
    root = tmp_path / "proc-sys"
    root.mkdir()
    (root / "forward").write_text("0\n")
    (root / "filter").write_text("1\n")
    return root


def test_old_settings_come_back_also_after_a_restart(tmp_path: Path, proc_sys: Path) -> None:
    memory = tmp_path / "state" / "memory.json"
    required, optional = {"forward": "1"}, {"filter": "2", "absent": "1"}
    assert Sysctls(memory, proc_sys=proc_sys).apply(required, optional) == ("absent",)
    # What the first start found counts, not what the second one does.
    Sysctls(memory, proc_sys=proc_sys).apply(required, optional)
    assert (proc_sys / "forward").read_text() == "1\n"
    Sysctls(memory, proc_sys=proc_sys).restore()
    assert (proc_sys / "forward").read_text() == "0\n"
    assert (proc_sys / "filter").read_text() == "1\n"
    assert not memory.exists()


def test_somebody_elses_later_setting_stays(tmp_path: Path, proc_sys: Path) -> None:
    sysctls = Sysctls(tmp_path / "memory.json", proc_sys=proc_sys)
    sysctls.apply({}, {"filter": "2"})
    (proc_sys / "filter").write_text("0\n")
    sysctls.restore()
    assert (proc_sys / "filter").read_text() == "0\n"


def test_a_required_setting_that_is_missing_is_an_error(tmp_path: Path, proc_sys: Path) -> None:
    with pytest.raises(SysctlError, match=r"net\.forward"):
        Sysctls(tmp_path / "memory.json", proc_sys=proc_sys).apply({"net/forward": "1"}, {})


def balanced(name: str, ip: str, **spec: object) -> Obj:
    return {
        "metadata": {"namespace": "default", "name": name},
        "spec": {"type": "LoadBalancer", **spec},
        "status": {"loadBalancer": {"ingress": [{"ip": ip}]}},
    }


def ready(name: str, ip: str, status: str = "True", **labels: str) -> Obj:
    made = node(name, ip, None)
    made["metadata"]["labels"] = labels
    made["status"]["conditions"] = [{"type": "Ready", "status": status}]
    return made


def test_one_node_answers_for_each_balancers_address_and_only_its_own_move() -> None:
    nodes = [ready(name, f"172.16.0.{i}") for i, name in enumerate("abc")]
    services = [balanced(f"s{i}", f"192.0.2.{i}") for i in range(60)]
    services.append(balanced("node", "172.16.0.1"))
    services.append(balanced("theirs", "192.0.2.99", loadBalancerClass="x"))
    held = {n: plan_announced(services, nodes, n, {}) for n in "abc"}
    assert sum(map(len, held.values())) == 60
    assert all(len(ips) > 8 for ips in held.values())
    without = [nodes[0], ready("b", "172.16.0.1", "Unknown"), nodes[2]]
    for name in "ac":
        assert plan_announced(services, without, name, {}) > held[name]
    assert plan_announced(services, without, "b", {}) == frozenset()


def test_a_local_policy_is_answered_for_where_the_endpoints_are() -> None:
    nodes = [ready("a", "172.16.0.1"), ready("b", "172.16.0.2")]
    services = [balanced(f"s{i}", f"192.0.2.{i}", externalTrafficPolicy="Local") for i in range(9)]
    serving = {f"default/s{i}": {"b"} for i in range(8)}
    assert plan_announced(services, nodes, "a", serving) == frozenset()
    assert len(plan_announced(services, nodes, "b", serving)) == 8


HOSTILE = ["", "x", "192.0.2.300", "192.0.2.1 }; flush ruleset #", "fe80::1%eth0", "a.example.com"]


@pytest.mark.parametrize("address", HOSTILE)
def test_what_a_node_calls_an_address_and_is_none_reaches_no_rule(address: str) -> None:
    own = node("a", "192.0.2.1", "10.244.0.0/24")
    other = node("b", None, "10.244.1.0/24")
    other["status"]["addresses"] = [{"type": "InternalIP", "address": address}]
    assert internal_ip(other) is None
    assert internal_ip(other, IPV6) is None
    assert plan_routes([own, other], "a", "10.96.0.0/16").keys() == {"10.96.0.0/16"}
    other["status"]["addresses"].append({"type": "InternalIP", "address": "192.0.2.2"})
    assert internal_ip(other) == "192.0.2.2"


@pytest.mark.parametrize("address", HOSTILE)
def test_no_more_does_what_is_said_of_pods_and_endpoints(address: str) -> None:
    pod = {"metadata": {"name": "p", "namespace": "n"}, "spec": {}, "status": {"podIP": address}}
    assert pod_facts(pod) is None
    slice_ = {
        "addressType": "IPv4",
        "ports": [{"port": 80}],
        "endpoints": [{"addresses": [address]}, {"addresses": ["10.244.0.2"]}],
    }
    port = ServicePort(Key("n", "s"), "", "tcp", 80, "10.96.0.9")
    assert [endpoint.ip for endpoint in endpoints_of([slice_], port)] == ["10.244.0.2"]
