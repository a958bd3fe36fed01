"""Nodes in network namespaces of this host, with pods linked by the real CNI plugins."""

import ipaddress
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sagong.local import network_namespaces as net

BRIDGE = "sagong-nt0"
SUBNET = ipaddress.IPv4Network("172.31.251.0/24")
CNI_DIR = next((d for d in (Path("/opt/cni/bin"), Path("/usr/lib/cni")) if d.is_dir()), None)
HERE = Path(__file__).parent
CLIENT_SECONDS_MAX = 20

Obj = dict[str, Any]


def run(namespace: Path, *command: str, stdin: str = "", env: Obj | None = None) -> str:
    result = subprocess.run(
        ["nsenter", f"--net={namespace}", *command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS_MAX,
        env={**os.environ, **(env or {})},
    )
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


@dataclass
class Pod:
    name: str
    ip: str
    namespace: Path
    ipv6: str = ""
    servers: list[subprocess.Popen[str]] = field(default_factory=list)

    def serve(self, program: str, *arguments: str) -> None:
        """Start a server in the pod and wait for the line that says it listens."""
        command = ["nsenter", f"--net={self.namespace}", sys.executable, str(HERE / program)]
        server = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.servers.append(server)
        assert server.stdout
        assert server.stdout.readline().strip() == "listening"

    def stop(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()


class Node:
    """A namespace with a running NodeNetwork, and its pods."""

    def __init__(self, name: str, link: net.NodeLink, cidrs: list[str], directory: Path) -> None:
        self.name, self.link, self.cidrs, self.directory = name, link, cidrs, directory
        self.pods: list[Pod] = []
        self.process: subprocess.Popen[str] | None = None

    @property
    def namespace(self) -> Path:
        return self.link.namespace

    def start(self) -> None:
        resolv_conf = self.directory / "resolv.conf"
        self.directory.mkdir(exist_ok=True)
        resolv_conf.write_text("nameserver 127.0.0.9\n")
        settings: Obj = {"resolv_conf": str(resolv_conf)}
        if self.link.ipv6_address is not None:
            settings |= {"cluster_cidr": "10.244.0.0/16,fd00:10:244::/48"}
            settings |= {"service_cidr": "10.96.0.0/16,fd00:10:96::/112"}
            settings |= {"dns_ips": ["10.96.0.10", "fd00:10:96::a"]}
        program = [sys.executable, str(HERE / "node_program.py"), self.name, str(self.directory)]
        self.process = subprocess.Popen(
            ["nsenter", f"--net={self.namespace}", *program, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, command: Obj) -> None:
        assert self.process
        assert self.process.stdin
        assert self.process.stdout
        # A process that hangs would hang the test: it is killed and the read then ends.
        watchdog = threading.Timer(CLIENT_SECONDS_MAX, self.process.kill)
        watchdog.start()
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline().strip() == "ok"
        finally:
            watchdog.cancel()

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def pod(self, name: str) -> Pod:
        """A namespace linked as the node's CNI configuration says, as a runtime would do it."""
        namespace = net.NETNS_DIR / f"sagongpod-{name}"
        subprocess.run(["ip", "netns", "add", namespace.name], check=True)
        pod = Pod(name, "", namespace)
        self.pods.append(pod)
        result = self._cni("ADD", pod)
        pod.ip, *more = (ip["address"].split("/")[0] for ip in result["ips"])
        pod.ipv6 = more[0] if more else ""
        run(namespace, "ip", "link", "set", "lo", "up")
        return pod

    def delete_pod(self, pod: Pod) -> None:
        self.pods.remove(pod)
        pod.stop()
        subprocess.run(["ip", "netns", "del", pod.namespace.name], check=True)

    def _cni(self, command: str, pod: Pod) -> Obj:
        conflist = json.loads((self.directory / "cni" / "10-sagong.conflist").read_text())
        result: Obj = {}
        for plugin in conflist["plugins"]:
            config = {"cniVersion": conflist["cniVersion"], "name": conflist["name"], **plugin}
            config.pop("capabilities", None)
            if result:
                config["prevResult"] = result
            env = {
                "CNI_COMMAND": command,
                "CNI_CONTAINERID": pod.name,
                "CNI_NETNS": str(pod.namespace),
                "CNI_IFNAME": "eth0",
                "CNI_PATH": str(CNI_DIR),
            }
            plugin_path = str(CNI_DIR / plugin["type"]) if CNI_DIR else ""
            output = run(self.namespace, plugin_path, stdin=json.dumps(config), env=env)
            result = json.loads(output)
        return result

    @property
    def ips(self) -> list[str]:
        return [str(ip) for ip in (self.link.address, self.link.ipv6_address) if ip is not None]

    def object(self, ready: str = "True") -> Obj:
        return {
            "metadata": {"name": self.name, "labels": {}},
            "spec": {"podCIDR": self.cidrs[0], "podCIDRs": self.cidrs},
            "status": {
                "addresses": [{"type": "InternalIP", "address": ip} for ip in self.ips],
                "conditions": [{"type": "Ready", "status": ready}],
            },
        }


class Machines:
    """Two nodes, told the same objects as one API would tell them."""

    def __init__(self, directory: Path, *, ipv6: bool = False, far: bool = False) -> None:
        """``far`` nodes reach each other by the host, as by a router; it knows no pods."""
        self.bridge = net.create_bridge(BRIDGE, SUBNET, nat=False, ipv6=ipv6)
        self.nodes: list[Node] = []
        self._objects: dict[tuple[str, str, str], Obj] = {}
        for index, name in enumerate(("nt-a", "nt-b")):
            link = net.create_node_network(name, self.bridge, index=index, ipv6=ipv6)
            cidrs = [f"10.244.{index}.0/24", *([f"fd00:10:244:{index}::/64"] if ipv6 else [])]
            self.nodes.append(Node(name, link, cidrs, directory / name))
            if far:
                self._set_apart(link)

    def _set_apart(self, link: net.NodeLink) -> None:
        """The node's link has nobody but the host."""
        gateway = str(self.bridge.gateway)
        prefix = self.bridge.subnet.prefixlen
        for command in (
            f"addr add {link.address}/32 dev eth0",
            f"addr del {link.address}/{prefix} dev eth0",
            f"route add {gateway} dev eth0 scope link",
            f"route replace default via {gateway}",
        ):
            run(link.namespace, "ip", *command.split())

    def put(self, resource: str, obj: Obj) -> None:
        metadata = obj["metadata"]
        key = (resource, metadata.get("namespace", ""), metadata["name"])
        self._tell(resource, self._objects.get(key), obj)
        self._objects[key] = obj

    def delete(self, resource: str, namespace: str, name: str) -> None:
        self._tell(resource, self._objects.pop((resource, namespace, name)), None)

    def sync(self) -> None:
        for node in self.nodes:
            node.say({"sync": True})

    def _tell(self, resource: str, old: Obj | None, new: Obj | None) -> None:
        for node in self.nodes:
            node.say({"resource": resource, "old": old, "new": new})

    def tell_all(self, node: Node) -> None:
        """What a node that starts anew lists."""
        for (resource, _, _), obj in self._objects.items():
            node.say({"resource": resource, "old": None, "new": obj})
        node.say({"sync": True})

    def close(self) -> None:
        for node in self.nodes:
            for pod in tuple(node.pods):
                node.delete_pod(pod)
            node.kill()
            net.delete_node_network(node.name)
        net.delete_bridge(BRIDGE)


def why_not() -> str | None:
    if os.geteuid() != 0:
        return "needs root"
    for program in ("ip", "nft", "nsenter"):
        if shutil.which(program) is None:
            return f"needs {program}"
    return None if CNI_DIR else "needs the CNI plugins"


def has_ipv6() -> bool:
    return Path("/proc/net/if_inet6").exists()


def has_vxlan() -> bool:
    name = f"{net.PREFIX}try"
    made = subprocess.run(
        ["ip", "link", "add", name, "type", "vxlan", "id", "77", "dstport", "4788"],
        capture_output=True,
        check=False,
    )
    subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)
    return made.returncode == 0


@contextmanager
def one_udp_flow(namespace: str, address: str) -> Iterator[Callable[[], str]]:
    """A client with one socket, which asks port 53 twice: each call gives who answers."""
    command = [str(HERE / "request_client.py"), "udp", address, "53", "2", "step"]
    with subprocess.Popen(
        ["nsenter", f"--net={namespace}", sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        asked, told = client.stdin, client.stdout
        assert asked
        assert told

        def ask() -> str:
            asked.write("\n")
            asked.flush()
            return told.readline().split()[0]

        yield ask
