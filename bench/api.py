"""The API server's figures: reads, writes, lists and watch lag, against any API server.

    python bench/api.py --data-dir DIR                 # starts our server in DIR, durable store
    python bench/api.py --url https://HOST:PORT --token TOKEN

Needs ``wrk`` for the HTTP rows. Prints each row with genuine Kubernetes 1.36.2's figure, as
measured on the same two cores, and the ratio; absolute figures move from host to host.
"""

import argparse
import asyncio
import json
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

# Genuine Kubernetes 1.36.2: requests/s, or milliseconds (median) for the watch.
BASELINE = {"get": 4260, "post configmap": 1790, "post pod": 760, "list 500": 60, "list all": 8.8}
WATCH_BASELINE_MS = 35
PODS = 4577
NAMESPACE = "bench"


@dataclass(frozen=True)
class Target:
    url: str
    token: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = Request(self.url + path, data=data, method=method, headers=headers)
        context = ssl._create_unverified_context()
        try:
            with urlopen(request, context=context, timeout=60) as response:
                return json.loads(response.read())
        except HTTPError as error:
            if error.code == 409:
                return None
            raise


def wrk(target: Target, path: str, *, connections: int, seconds: int, script: str = "") -> str:
    """Requests/s and p99 as wrk prints them."""
    arguments = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    arguments += ["-H", f"Authorization: Bearer {target.token}"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        if script:
            file.write(script)
            file.flush()
            arguments += ["-s", file.name]
        return subprocess.run(
            [*arguments, target.url + path], capture_output=True, text=True, check=True
        ).stdout


def post_script(kind: str, spec: dict[str, Any]) -> str:
    """A wrk script that posts objects with generated names."""
    metadata = {"generateName": "b-", "namespace": NAMESPACE}
    body = json.dumps({"apiVersion": "v1", "kind": kind, "metadata": metadata, **spec})
    return (
        'wrk.method = "POST"\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        f"wrk.body = [[{body}]]\n"
    )


def report(name: str, output: str) -> None:
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])  # type: ignore[index]
    p99 = re.search(r"99%\s+(\S+)", output)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    ratio = rate / BASELINE[name]
    note = f"  ({bad[1]} refused)" if bad else ""
    shown = f"{rate:10.1f}/s  p99 {p99[1] if p99 else '?':>9}"
    print(f"{name:<16}{shown}   genuine {BASELINE[name]:>7}/s   {ratio:5.2f}x{note}", flush=True)


POD = {
    "spec": {
        "containers": [
            {
                "name": "app",
                "image": "registry.example.com/app:1.2.3",
                "env": [{"name": "A", "value": "b"}, {"name": "C", "value": "d"}],
                "ports": [{"containerPort": 8080}],
                "resources": {
                    "requests": {"cpu": "100m", "memory": "64Mi"},
                    "limits": {"memory": "128Mi"},
                },
            }
        ],
        "schedulerName": "nobody",  # so that nothing but the API server works on them
    }
}


def prepare(target: Target) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    target.call("POST", "/api/v1/namespaces", namespace)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    target.call("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)
    data = {"data": {f"key{i}": "value" * 4 for i in range(4)}}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, **data}
    target.call("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps", config_map)


def fill(target: Target, count: int) -> None:
    """Make pods until there are ``count``."""
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    listing = target.call("GET", pods + "?limit=1")
    have = len(listing["items"]) + listing["metadata"].get("remainingItemCount", 0)
    while have < count:
        wrk(target, pods, connections=16, seconds=1, script=post_script("Pod", POD))
        listing = target.call("GET", pods + "?limit=1")
        have = len(listing["items"]) + listing["metadata"].get("remainingItemCount", 0)


def http_rows(target: Target, seconds: int) -> None:
    root = f"/api/v1/namespaces/{NAMESPACE}"
    report("get", wrk(target, f"{root}/configmaps/one", connections=16, seconds=seconds))
    script = post_script("ConfigMap", {"data": {"a": "b"}})
    posted = wrk(target, f"{root}/configmaps", connections=16, seconds=seconds, script=script)
    report("post configmap", posted)
    script = post_script("Pod", POD)
    posted = wrk(target, f"{root}/pods", connections=16, seconds=seconds, script=script)
    report("post pod", posted)
    fill(target, PODS)
    report("list 500", wrk(target, f"{root}/pods?limit=500", connections=4, seconds=seconds))
    path = f"/api/v1/pods?limit={PODS}&resourceVersion=0"
    report("list all", wrk(target, path, connections=4, seconds=seconds))


async def watch_lag(target: Target, watchers: int, per_second: int, seconds: int) -> None:
    """Milliseconds from sending an update to each watcher's receiving it."""
    import aiohttp

    root = f"{target.url}/api/v1/namespaces/{NAMESPACE}/configmaps"
    lags: list[float] = []
    headers = {"Authorization": f"Bearer {target.token}"}
    connector = aiohttp.TCPConnector(limit=0, ssl=False)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        connector=connector, headers=headers, timeout=timeout, read_bufsize=2**20
    ) as session:
        async with session.get(f"{root}?limit=1") as response:
            version = (await response.json())["metadata"]["resourceVersion"]

        async def follow() -> None:
            url = f"{root}?watch=1&resourceVersion={version}&fieldSelector=metadata.name=one"
            async with session.get(url) as response:
                async for line in response.content:
                    at = time.monotonic()
                    found = re.search(rb'"sent":"([\d.]+)"', line)
                    if found:
                        lags.append((at - float(found[1])) * 1000)

        tasks = [asyncio.create_task(follow()) for _ in range(watchers)]
        await asyncio.sleep(2 + watchers / 200)
        for _ in range(per_second * seconds):
            began = time.monotonic()
            patch = {"data": {"sent": f"{began:.6f}"}}
            kind = {"Content-Type": "application/merge-patch+json"}
            async with session.patch(f"{root}/one", json=patch, headers=kind) as response:
                await response.read()
            await asyncio.sleep(max(0.0, 1 / per_second - (time.monotonic() - began)))
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    cuts = quantiles(lags, n=100)
    print(
        f"watch {watchers} x {per_second}/s   p50 {cuts[49]:.1f} ms  p99 {cuts[98]:.1f} ms"
        f"  {len(lags)} of {watchers * per_second * seconds} events"
        f"   genuine p50 {WATCH_BASELINE_MS} ms (1000 x 10/s)",
        flush=True,
    )


@contextmanager
def own_server(data_dir: Path, port: int) -> Iterator[Target]:
    """Our server as a process of its own, API only, with the durable store."""
    data_dir.mkdir(parents=True, exist_ok=True)
    tokens = data_dir / "tokens.csv"
    tokens.write_text('bench,bench,1,"system:masters"\n')
    program = (
        "import asyncio, uvloop\n"
        "from pathlib import Path\n"
        "from sagong.cmd.server import ServerConfig, serving\n"
        "from sagong.core.clock import SystemClock\n"
        "from sagong.core.ids import SystemIds\n"
        "async def main():\n"
        f"    config = ServerConfig(Path({str(data_dir)!r}), port={port},"
        f" token_auth_file=Path({str(tokens)!r}))\n"
        "    async with serving(config, clock=SystemClock(), ids=SystemIds()):\n"
        "        print('ready', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "uvloop.run(main())\n"
    )
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        print(f"start to ready  {time.monotonic() - began:10.2f} s   genuine 2.8 s", flush=True)
        yield Target(f"https://127.0.0.1:{port}", "bench")
        status = Path(f"/proc/{process.pid}/status").read_text()
        memory = re.search(r"VmRSS:\s+(\d+)", status)
        print(f"memory          {int(memory[1]) // 1024 if memory else 0:10} MB  genuine 820 MB")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def measure(target: Target, arguments: argparse.Namespace) -> None:
    prepare(target)
    http_rows(target, arguments.seconds)
    asyncio.run(watch_lag(target, 200, 50, arguments.seconds))
    asyncio.run(watch_lag(target, 1000, 10, arguments.seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--token", default="")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--port", type=int, default=16555)
    parser.add_argument("--seconds", type=int, default=5)
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("bench/api.py needs wrk: apt-get install wrk")
    if arguments.url:
        measure(Target(arguments.url, arguments.token), arguments)
        return
    with tempfile.TemporaryDirectory() as scratch:
        data_dir = arguments.data_dir or Path(scratch)
        with own_server(data_dir, arguments.port) as target:
            measure(target, arguments)


if __name__ == "__main__":
    main()
