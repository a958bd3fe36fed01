"""Cluster DNS as real resolvers see it, from pods on every node."""

import shutil
import sys
from pathlib import Path

import pytest

from .machines import HERE, Machines, Obj, Pod, run

pytestmark = pytest.mark.cluster

DNS = "10.96.0.10"
RESOLVER = "127.0.0.9"  # in the first node's namespace; see machines.py


def service(name: str, ip: str, **spec: object) -> Obj:
    ports = spec.pop("ports", [{"name": "http", "port": 80, "protocol": "TCP"}])
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": ports, **spec},
    }


def endpoints(name: str, *ips: str, hostname: str = "web-0") -> Obj:
    labels = {"kubernetes.io/service-name": name}
    return {
        "metadata": {"name": f"{name}-1", "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [ip], "conditions": {"ready": True}, "hostname": hostname} for ip in ips
        ],
    }


@pytest.fixture(scope="module")
def pods(machines: Machines) -> list[Pod]:
    machines.put("namespaces", {"metadata": {"name": "default"}})
    machines.put("services", service("web", "10.96.2.1"))
    machines.put("services", service("db", "None"))
    machines.put("endpointslices.discovery.k8s.io", endpoints("db", "10.244.9.9"))
    machines.sync()
    return [node.pod(f"dns-{node.name}") for node in machines.nodes]


def dig(namespace: Path, name: str, type_: str = "A", *, tcp: bool = False) -> list[str]:
    client = [sys.executable, str(HERE / "dns_client.py"), DNS, name, type_]
    return run(namespace, *client, *(["tcp"] if tcp else [])).splitlines()


def test_the_c_librarys_resolver_follows_a_pods_search_path(
    pods: list[Pod], tmp_path: Path
) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    search = "default.svc.cluster.local svc.cluster.local cluster.local"
    resolv_conf.write_text(f"nameserver {DNS}\nsearch {search}\noptions ndots:5\n")
    mount = f"mount --bind {resolv_conf} /etc/resolv.conf"
    for pod in pods:
        for name, address in (
            ("web", "10.96.2.1"),
            ("web.default", "10.96.2.1"),
            ("web.default.svc.cluster.local", "10.96.2.1"),
            ("web-0.db", "10.244.9.9"),
        ):
            command = f"{mount} && getent ahostsv4 {name}"
            output = run(pod.namespace, "unshare", "--mount", "sh", "-c", command)
            assert {line.split()[0] for line in output.splitlines()} == {address}


def test_busyboxs_resolver_is_answered(pods: list[Pod]) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox")
    name = "web.default.svc.cluster.local"
    for pod in pods:
        assert "10.96.2.1" in run(pod.namespace, busybox, "nslookup", name, DNS)


def test_names_change_with_the_cluster(machines: Machines, pods: list[Pod]) -> None:
    name = "late.default.svc.cluster.local"
    for pod in pods:
        assert dig(pod.namespace, name) == ["NXDOMAIN"]
    machines.put("services", service("late", "10.96.2.9"))
    machines.sync()
    for namespace in [p.namespace for p in pods] + [n.namespace for n in machines.nodes]:
        assert dig(namespace, name) == ["NOERROR", "10.96.2.9"]
        assert dig(namespace, name, tcp=True) == ["NOERROR", "10.96.2.9"]
        assert dig(namespace, name, "AAAA") == ["NOERROR"]
        assert dig(namespace, "9.2.96.10.in-addr.arpa", "PTR") == ["NOERROR", f"{name}."]


def test_many_addresses_come_by_tcp(machines: Machines, pods: list[Pod]) -> None:
    ips = [f"10.244.8.{i}" for i in range(1, 201)]
    machines.put("services", service("many", "None"))
    machines.put("endpointslices.discovery.k8s.io", endpoints("many", *ips))
    machines.sync()
    name = "many.default.svc.cluster.local"
    assert dig(pods[0].namespace, name)[0] == "TRUNCATED"
    whole = dig(pods[0].namespace, name, tcp=True)
    assert whole[0] == "NOERROR"
    assert sorted(whole[1:]) == sorted(ips)


def test_other_names_are_asked_of_the_machines_resolver(
    machines: Machines, pods: list[Pod]
) -> None:
    alias = service("alias", "", type="ExternalName", externalName="outside.example")
    machines.put("services", alias)
    machines.sync()
    resolver = Pod("resolver", RESOLVER, machines.nodes[0].namespace)
    resolver.serve("resolver.py", RESOLVER, "outside.example", "203.0.113.7")
    try:
        pod, alias_name = pods[0], "alias.default.svc.cluster.local"
        assert dig(pod.namespace, "outside.example") == ["NOERROR", "203.0.113.7"]
        assert dig(pod.namespace, "nowhere.example") == ["NXDOMAIN"]
        assert dig(pod.namespace, alias_name) == ["NOERROR", "outside.example.", "203.0.113.7"]
        assert dig(pod.namespace, alias_name, "CNAME") == ["NOERROR", "outside.example."]
    finally:
        resolver.stop()
    # From the cache, while it lasts.
    assert dig(pods[0].namespace, "outside.example") == ["NOERROR", "203.0.113.7"]
    # No resolver is there any more: a failure comes instead of the client's time running out.
    assert dig(pods[0].namespace, "other.example") == ["SERVFAIL"]


def test_the_dns_service_without_endpoints_is_answered_by_the_node(
    machines: Machines, pods: list[Pod]
) -> None:
    ports = [{"name": "http", "port": 53, "protocol": "UDP"}]
    machines.put("services", service("kube-dns", DNS, ports=ports))
    machines.sync()
    for pod in pods:
        assert dig(pod.namespace, "web.default.svc.cluster.local") == ["NOERROR", "10.96.2.1"]
