"""What the points share: kubectl on one cluster, waiting, and the facts that were seen."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sagong.local import network_namespaces, processes
from sagong.local.layout import ClusterDescription, Layout

Obj = dict[str, Any]
T = TypeVar("T")

NAMESPACE = "shop"
MANIFESTS = Path(__file__).parent / "manifests"
NODE_PORT = 30080
GRACE_SECONDS = 20  # with which `make demo` starts the server: silence before NotReady


class KubectlFailed(Exception):
    """kubectl ended with an error; the message is what it printed."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was tried, and what was seen."""

    text: str
    passed: bool
    seen: str


@dataclass(slots=True)
class Scene:
    """One cluster on this machine, and what was seen of it so far."""

    layout: Layout
    kubeconfig: Path
    up_flags: Sequence[str] = ()  # what `sagong up` needs besides, to bring back what was killed
    facts: list[Fact] = field(default_factory=list)

    @property
    def failed(self) -> list[Fact]:
        return [fact for fact in self.facts if not fact.passed]

    def fact(self, text: str, passed: bool, seen: object = "") -> bool:
        """Note and print a fact."""
        told = " ".join(str(seen).split())[:300]
        self.facts.append(Fact(text, passed, told))
        mark = "ok    " if passed else "FAILED"
        print(f"   {mark} {text}" + (f": {told}" if told else ""), flush=True)
        return passed

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 90) -> str:
        """What kubectl prints. Raises KubectlFailed."""
        result = self.run_kubectl(*arguments, stdin=stdin, seconds=seconds)
        if result.returncode != 0:
            words = " ".join(arguments)
            raise KubectlFailed(f"kubectl {words}: {result.stderr.strip() or result.stdout}")
        return result.stdout

    def run_kubectl(
        self, *arguments: str, stdin: str | None = None, seconds: float = 90
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["kubectl", "-n", NAMESPACE, *arguments],
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                timeout=seconds,
                env=self.environment,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlFailed(f"kubectl {' '.join(arguments)}: no end in {seconds} s") from error

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def get(self, *arguments: str) -> Obj:
        answer: Obj = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return answer

    def pods(self, selector: str) -> list[Obj]:
        """Pods that are not being deleted."""
        items: list[Obj] = self.get("pods", "-l", selector)["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def web_pods(self) -> list[Obj]:
        return self.pods("app.kubernetes.io/name=web")

    def client_on(self, node: str) -> str:
        """The pod on a node from which things are tried."""
        for pod in self.pods("app=client"):
            if pod["spec"]["nodeName"] == node and is_ready(pod):
                return str(pod["metadata"]["name"])
        raise KubectlFailed(f"no client pod runs on {node}")

    def shell(self, pod: str, script: str, *, seconds: float = 60) -> str:
        """What a script prints inside a pod."""
        return self.kubectl("exec", pod, "--", "sh", "-c", script, seconds=seconds)

    def nodes(self) -> list[str]:
        return sorted(item["metadata"]["name"] for item in self.get("nodes")["items"])

    def node_address(self, node: str) -> str:
        addresses = self.get("node", node)["status"]["addresses"]
        return next(str(a["address"]) for a in addresses if a["type"] == "InternalIP")

    def node_ready(self, node: str) -> str:
        conditions = self.get("node", node)["status"]["conditions"]
        return next((str(c["status"]) for c in conditions if c["type"] == "Ready"), "")

    def until(self, look: Callable[[], T], seconds: float) -> T:
        """What ``look`` returns once it is true, or at the end of the time."""
        deadline = time.monotonic() + seconds
        while True:
            found = self._tried(look)
            if found or time.monotonic() > deadline:
                return found  # type: ignore[return-value]
            time.sleep(0.3)

    def _tried(self, look: Callable[[], T]) -> T | None:
        try:
            return look()
        except KubectlFailed:
            return None  # a server that restarts refuses; the deadline says when that is too long

    # The programs of the cluster, which the points kill and bring back.

    def process(self, program: str) -> processes.Process | None:
        return processes.read_pid_file(self.layout.pid_file(program))

    def kill(self, *pid_files: Path) -> None:
        """SIGKILL to programs of this cluster, and wait until they are gone."""
        for path in pid_files:
            process = processes.read_pid_file(path)
            if process is None:
                continue
            os.kill(process.pid, signal.SIGKILL)
            while processes.is_alive(process):
                time.sleep(0.02)

    def bring_back(self) -> float:
        """``sagong up`` again; how many seconds it took. Raises KubectlFailed."""
        description = ClusterDescription.read(self.layout.description_file)
        assert description is not None, "no cluster is here; run `sagong up --nodes 3` first"
        began = time.monotonic()
        command = [sys.executable, "-m", "sagong", "up", "--nodes", str(len(description.nodes))]
        command += ["--port", str(description.port), "--kubeconfig", str(self.kubeconfig)]
        command += ["--node-grace-seconds", str(GRACE_SECONDS)]
        command += ["--data-dir", str(self.layout.data_dir)]
        command += ["--run-dir", str(self.layout.run_dir), *self.up_flags]
        result = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        if result.returncode != 0:
            raise KubectlFailed(f"sagong up: {result.stderr.strip()}")
        return time.monotonic() - began

    def cut_off(self, node: str) -> None:
        """Take the node's link down; ``bring_back`` takes it up again."""
        link = network_namespaces.host_interface(node)
        subprocess.run(["ip", "link", "set", link, "down"], check=True)


def is_ready(pod: Obj) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def names(pods: Sequence[Obj]) -> str:
    return ", ".join(f"{p['metadata']['name']} on {p['spec'].get('nodeName', '-')}" for p in pods)


def containers(pod: Obj) -> dict[str, tuple[str, int, str]]:
    """Container name -> its id, restart count and start time."""
    found = {}
    for status in pod["status"].get("containerStatuses") or ():
        started = (status.get("state", {}).get("running") or {}).get("startedAt", "")
        found[status["name"]] = (status.get("containerID", ""), status["restartCount"], started)
    return found
