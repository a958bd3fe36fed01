"""How fast services get into the kernel, and how many questions a second cluster DNS answers.

    python bench/network.py [--services 100 1000 5000] [--endpoints 5] [--queries 50000]

The services are programmed in a network namespace of the benchmark's own (root, nft). The name
server and its client are two processes on the loopback device, as they are on a node.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import uvloop
from dnslib import DNSRecord

from sagong.api.types import Obj
from sagong.core.clock import SystemClock
from sagong.ctl.indexed import Objects
from sagong.network.agent import WATCHES
from sagong.network.dns.server import DnsConfig, DnsServer
from sagong.network.indexes import SERVICES, SLICES
from sagong.network.proxy.conntrack import Conntrack
from sagong.network.proxy.rules import Config
from sagong.network.proxy.service_proxy import ServiceProxy
from sagong.network.tables.nft import Nft

IN_NAMESPACE = "--in-namespace"
CHANGES = 20  # one-service changes measured
IN_FLIGHT = 64  # questions that the client has open
DNS_PORT = 5300


class Cache:
    """Objects indexed as the informer does."""

    def __init__(self) -> None:
        self.resources: dict[str, Objects] = {}
        for watch in WATCHES:
            objects = self.resources.setdefault(watch.resource, Objects())
            for name, index in watch.indexes.items():
                objects.add_index(name, index)

    def get(self, resource: str, namespace: str, name: str) -> Obj | None:
        return self.resources[resource].get(namespace, name)

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Obj]:
        return self.resources[resource].list(namespace)

    def owned_by(self, resource: str, owner_uid: str) -> Iterable[Obj]:
        return ()

    def with_index(self, resource: str, index: str, value: str) -> Iterable[Obj]:
        return self.resources[resource].with_index(index, value)


def service(index: int) -> Obj:
    ip = f"10.96.{index // 250}.{index % 250 + 1}"
    return {
        "metadata": {"name": f"s{index}", "namespace": "bench"},
        "spec": {"clusterIP": ip, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    }


def slice_(index: int, endpoints: Iterable[int]) -> Obj:
    labels = {"kubernetes.io/service-name": f"s{index}"}
    return {
        "metadata": {"name": f"s{index}-x", "namespace": "bench", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [f"10.244.{index % 250}.{e + 1}"], "nodeName": "a"} for e in endpoints
        ],
    }


def filled(services: int, endpoints: int) -> Cache:
    cache = Cache()
    cache.resources["namespaces"].put({"metadata": {"name": "bench"}})
    for index in range(services):
        cache.resources[SERVICES].put(service(index))
        cache.resources[SLICES].put(slice_(index, range(endpoints)))
    return cache


async def program(services: int, endpoints: int) -> None:
    cache = filled(services, endpoints)
    config = Config("10.244.0.0/16", "10.96.0.0/16", "sagong-cni0")
    proxy = ServiceProxy(cache, "a", config, nft=Nft(), conntrack=Conntrack(), clock=SystemClock())
    start = time.perf_counter()
    assert await proxy.sync()
    everything = time.perf_counter() - start
    changes = []
    for change in range(CHANGES):
        old = cache.get(SLICES, "bench", "s1-x")
        new = slice_(1, range(endpoints - 1 - change % 2))
        cache.resources[SLICES].put(new)
        start = time.perf_counter()
        proxy.changed(SLICES, old, new)
        assert await proxy.sync()
        changes.append(time.perf_counter() - start)
    await proxy.remove()
    one = statistics.median(changes) * 1000
    print(f"{services:>9} {endpoints:>10} {everything:>14.2f} {one:>14.1f}")


async def serve(port: int) -> None:
    config = DnsConfig(("127.0.0.1",), port=port, resolv_conf=Path("/nonexistent"))
    server = DnsServer(config, filled(1000, 3), clock=SystemClock())
    running = asyncio.ensure_future(server.run())
    await server.serving.wait()
    print("listening", flush=True)
    await running


def questions() -> Iterator[bytes]:
    names = [f"s{index}.bench.svc.cluster.local" for index in range(1000)]
    while True:
        for name in names:
            yield bytes(DNSRecord.question(name).pack())


def ask(count: int, port: int) -> float:
    """Questions a second, IN_FLIGHT at a time, over all 1,000 names."""
    packed = questions()
    messages = [next(packed) for _ in range(1000)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.1", port))
        sent = received = 0
        start = time.perf_counter()
        while received < count:
            while sent < count and sent - received < IN_FLIGHT:
                client.send(messages[sent % 1000])
                sent += 1
            client.recv(2048)
            received += 1
        return count / (time.perf_counter() - start)


def measure_dns(count: int) -> None:
    command = [sys.executable, __file__, "--serve", str(DNS_PORT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            assert server.stdout.readline().strip() == "listening"
            ask(1000, DNS_PORT)  # the answers are made
            print(f"\ncluster DNS, A of 1,000 services, one process: {ask(count, DNS_PORT):,.0f}/s")
        finally:
            server.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--services", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--endpoints", type=int, default=5)
    parser.add_argument("--queries", type=int, default=50_000)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument(IN_NAMESPACE, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        with contextlib.suppress(KeyboardInterrupt):
            uvloop.run(serve(arguments.serve))
        return
    if not arguments.in_namespace:
        if os.geteuid() != 0 or shutil.which("nft") is None:
            sys.exit("needs root and nft")
        inside = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
        os.execvp(inside[0], [*inside, sys.executable, *sys.argv, IN_NAMESPACE])
    print(f"{'services':>9} {'endpoints':>10} {'all, seconds':>14} {'one change, ms':>14}")
    for services in arguments.services:
        asyncio.run(program(services, arguments.endpoints))
    measure_dns(arguments.queries)


if __name__ == "__main__":
    main()
