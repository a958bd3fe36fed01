"""The API server that is measured: ours, started for it, or any other one."""

import base64
import json
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

NAMESPACE = "bench"
READY_SECONDS_MAX = 60.0
READY_LOOK_SECONDS = 0.005


@dataclass
class Target:
    """Where an API server is and how to speak to it."""

    url: str
    token: str = ""
    tls: ssl.SSLContext = field(default_factory=ssl._create_unverified_context)
    pid: int = 0  # 0: not on this machine, or not known

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 443

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request; None for what is there already. Raises HTTPError."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = Request(self.url + path, data=data, method=method, headers=headers)
        try:
            with urlopen(request, context=self.tls, timeout=60) as response:
                return json.loads(response.read())
        except HTTPError as error:
            if error.code == 409:
                return None
            raise


def of_kubeconfig(path: Path) -> Target:
    """The current context of a kubeconfig, with a client certificate or a token."""
    import yaml

    config = yaml.safe_load(path.read_text())

    def named(kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(e[kind] for e in config[f"{kind}s"] if e["name"] == name)
        return found

    context = named("context", config["current-context"])
    cluster, user = named("cluster", context["cluster"]), named("user", context["user"])
    target = Target(cluster["server"], user.get("token", ""))
    pair = [_content(user, "client-certificate"), _content(user, "client-key")]
    if all(pair):
        with tempfile.NamedTemporaryFile("wb") as file:
            file.write(b"\n".join(pair))
            file.flush()
            target.tls.load_cert_chain(file.name)
    return target


def _content(user: dict[str, Any], name: str) -> bytes:
    if name in user:
        return Path(user[name]).read_bytes()
    return base64.b64decode(user.get(f"{name}-data", ""))


def as_account(target: Target) -> Target:
    """The same server for a service account that may do all: a token, and RBAC to ask."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    target.call("POST", "/api/v1/namespaces", namespace)
    for name in ("default", "bench"):
        target.call("POST", accounts, {**account, "metadata": {"name": name}})
    rbac = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "bench"},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "bench", "namespace": NAMESPACE}],
    }
    target.call("POST", f"/apis/{rbac}/v1/clusterrolebindings", binding)
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 7200},
    }
    token = target.call("POST", f"{accounts}/bench/token", body)["status"]["token"]
    return Target(target.url, token, pid=target.pid)


@dataclass(frozen=True)
class Started:
    """A server of ours that answers, and how long it took."""

    target: Target
    seconds: float


@contextmanager
def own_server(data_dir: Path) -> Iterator[Started]:
    """Our whole control plane in a process of its own, with the durable store."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "sagong", "server", "--data-dir", str(data_dir)]
    command += ["--listen", f"127.0.0.1:{port}"]
    url, began = f"https://127.0.0.1:{port}", time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        _wait_ready(url, process)
        seconds = time.monotonic() - began
        assert process.stdout is not None
        process.stdout.readline()  # controllers and scheduler are there as well
        kubeconfig = data_dir / "admin.kubeconfig"
        target = of_kubeconfig(kubeconfig)
        target.pid = process.pid
        yield Started(target, seconds)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    context, end = ssl._create_unverified_context(), time.monotonic() + READY_SECONDS_MAX
    while process.poll() is None and time.monotonic() < end:
        try:
            with urlopen(url + "/readyz", context=context, timeout=5):
                return
        except OSError:
            time.sleep(READY_LOOK_SECONDS)
    sys.exit("the server did not come up")
