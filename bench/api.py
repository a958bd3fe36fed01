"""The API server's figures: start, reads, writes, lists, watches, memory, idle; of any API server.

    python bench/api.py                                        # starts our control plane for it
    python bench/api.py --url https://HOST:PORT --token TOKEN  # another one
    python bench/api.py --kubeconfig ~/.kube/config --pid PID  # with its memory and processor time
    python bench/api.py --rows get,post,watch                  # some rows only

Each row stands beside genuine Kubernetes 1.36.2's, as recorded on such a host (``figures.py``).
Load comes from ``wrk`` if it is installed. Requests are authorised: those of a service account's
token with a role, unless a token is given. Processor time an answer is what survives a busy host.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from figures import row
from load import Work, measure
from objects import config_map, small_pod, text, typical_pod
from process import cpu_seconds, load_average, megabytes
from target import NAMESPACE, Target, as_account, of_kubeconfig, own_server
from watchers import Lag, follow, idle

PODS = 4577
TYPICAL_PODS = 10_000
IDLE_WATCHES = 10_000
IDLE_SECONDS = 10.0
SETTLE_SECONDS = 15.0  # what a server tidies up after so many writes
ROOT = f"/api/v1/namespaces/{NAMESPACE}"


def idle_rows(target: Target, seconds: int) -> None:
    if not target.pid:
        return
    time.sleep(3)  # what follows a start
    before = cpu_seconds(target.pid)
    time.sleep(IDLE_SECONDS)
    percent = (cpu_seconds(target.pid) - before) / IDLE_SECONDS * 100
    row("memory, idle", megabytes(target.pid))
    row("idle CPU", percent)


def get_row(target: Target, seconds: int) -> None:
    result = measure(target, Work(f"{ROOT}/configmaps/one", 16, seconds))
    row("GET ConfigMap", result.rate, notes=result.notes())


def post_rows(target: Target, seconds: int) -> None:
    for name, path, obj in (
        ("POST ConfigMap", "configmaps", config_map()),
        ("POST Pod", "pods", small_pod()),
    ):
        result = measure(target, Work(f"{ROOT}/{path}", 16, seconds, text(obj)))
        row(name, result.rate, notes=result.notes())


def list_rows(target: Target, seconds: int) -> None:
    _fill(target, PODS, text(small_pod()))
    result = measure(target, Work(f"{ROOT}/pods?limit=500", 4, seconds))
    row("LIST 500 pods", result.rate, notes=result.notes())
    path = f"/api/v1/pods?limit={PODS}&resourceVersion=0"
    result = measure(target, Work(path, 4, seconds))
    row("LIST 4577 pods", result.rate, notes=result.notes())
    if target.pid:
        row("memory, 4577 pods listed", megabytes(target.pid))


def watch_rows(target: Target, seconds: int) -> None:
    for watchers, per_second in ((200, 50), (1000, 10)):
        name = f"watch {watchers} x {per_second}/s"
        lag: Lag = uvloop.run(
            follow(target, watchers=watchers, per_second=per_second, seconds=seconds)
        )
        notes = f"p50 {lag.p50:.1f} ms  {lag.received} of {lag.wanted} events"
        row(f"{name}, p99", lag.p99, notes=notes)
        if lag.cpu_micros and watchers == 1000:
            row(f"{name}, CPU", lag.cpu_micros)


def idle_watch_row(target: Target, seconds: int) -> None:
    before, after = uvloop.run(idle(target, IDLE_WATCHES))
    each = (after - before) * 1024 / IDLE_WATCHES
    notes = f"{before:.0f} MB before, {each:.1f} KB each"
    row("memory, 10000 watches", after, notes=notes)


def typical_row(target: Target, seconds: int) -> None:
    _fill(target, TYPICAL_PODS, text(typical_pod()))
    listing = target.call("GET", f"{ROOT}/pods?limit=1")
    time.sleep(SETTLE_SECONDS)
    target.call("GET", "/api/v1/pods?resourceVersion=0")
    count, size = _pods(target), len(text(listing["items"][0]))
    row("memory, 10000 pods", megabytes(target.pid), notes=f"{count} of {size} bytes")


def _fill(target: Target, count: int, body: str) -> None:
    """Make pods until there are ``count``."""
    while (have := _pods(target)) < count:
        seconds = 2 if count - have > 2000 else 1
        measure(target, Work(f"{ROOT}/pods", 16, seconds, body))


def _pods(target: Target) -> int:
    listing = target.call("GET", f"{ROOT}/pods?limit=1")
    return len(listing["items"]) + int(listing["metadata"].get("remainingItemCount", 0))


ROWS: dict[str, Callable[[Target, int], None]] = {
    "idle": idle_rows,
    "get": get_row,
    "post": post_rows,
    "list": list_rows,
    "watch": watch_rows,
}
# Rows that want a server of ours that has done nothing yet: what others have left would count.
OWN: dict[str, Callable[[Target, int], None]] = {
    "idle-watches": idle_watch_row,
    "typical": typical_row,
}


def run(target: Target, rows: list[str], arguments: argparse.Namespace) -> None:
    asked = target if arguments.token else as_account(target)
    asked.call("POST", f"{ROOT}/configmaps", config_map("one"))
    for name in rows:
        ROWS[name](asked, arguments.seconds)


def run_own(rows: list[str], arguments: argparse.Namespace, scratch: Path) -> None:
    with own_server(arguments.data_dir or scratch / "first") as started:
        row("start to /readyz", started.seconds, notes="nothing stored yet, keys to be made")
        run(started.target, [name for name in rows if name in ROWS], arguments)
    for name in rows:
        if name in OWN:
            with own_server(scratch / name) as started:
                target = as_account(started.target)
                target.call("POST", f"{ROOT}/configmaps", config_map("one"))
                OWN[name](target, arguments.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url")
    parser.add_argument("--token", default="")
    parser.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--pid", type=int, default=0, help="of the API server, if it runs here")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rows", default=",".join((*ROWS, *OWN)))
    arguments = parser.parse_args()
    rows = arguments.rows.split(",")
    print(load_average(), flush=True)
    if arguments.url or arguments.kubeconfig:
        target = Target(arguments.url, arguments.token)
        if arguments.kubeconfig:
            target = of_kubeconfig(arguments.kubeconfig)
        target.pid = arguments.pid
        run(target, [name for name in rows if name in ROWS], arguments)
        return
    with tempfile.TemporaryDirectory() as scratch:
        run_own(rows, arguments, Path(scratch))
    print(load_average())


if __name__ == "__main__":
    main()
