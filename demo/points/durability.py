"""Point 7: SIGKILL of the server amid writes, and of an agent: nothing is lost or restarted."""

import json
import subprocess
import threading
import time

from demo.points.application import ensure
from demo.scene import KubectlFailed, Obj, Scene, containers

WRITERS = 4


def show(scene: Scene) -> None:
    ensure(scene)
    before = _all_containers(scene)
    _kill_server(scene)
    scene.fact("no container noticed", _all_containers(scene) == before, f"{len(before)} of them")
    _kill_agent(scene)


def _kill_server(scene: Scene) -> None:
    scene.run_kubectl("delete", "configmap", "-l", "demo=writes")
    acknowledged: dict[str, int] = {}
    stop = threading.Event()
    writers = [
        threading.Thread(target=_write, args=(scene, number, acknowledged, stop))
        for number in range(WRITERS)
    ]
    watch = subprocess.Popen(
        ["kubectl", "-n", "shop", "get", "configmap", "-w", "-o", "name", "-l", "demo=writes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=scene.environment,
    )
    for writer in writers:
        writer.start()
    time.sleep(3)
    scene.kill(scene.layout.pid_file("server"))
    stop.set()
    for writer in writers:
        writer.join()
    watch.wait(timeout=30)
    version = max(acknowledged.values(), default=0)
    seconds = scene.bring_back()
    found = {c["metadata"]["name"]: c for c in _written(scene)["items"]}
    lost = sorted(set(acknowledged) - set(found))
    told = f"{len(acknowledged)} acknowledged, {len(lost)} lost, back in {seconds:.1f} s"
    scene.fact("every acknowledged write is there", bool(acknowledged) and not lost, told)
    same = all(
        int(found[name]["metadata"]["resourceVersion"]) == number
        for name, number in acknowledged.items()
        if name in found
    )
    scene.fact("each at the resource version that was told", same)
    now = int(_written(scene)["metadata"]["resourceVersion"])
    scene.fact("the resource version never goes back", now >= version, f"{version}, then {now}")
    _resume(scene, version)


def _write(scene: Scene, number: int, acknowledged: dict[str, int], stop: threading.Event) -> None:
    """Make objects until told to stop or refused; remember those that were acknowledged."""
    for count in range(10_000):
        if stop.is_set():
            return
        name = f"write-{number}-{count}"
        manifest = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {"demo": "writes"}},
        }
        try:
            text = scene.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(manifest))
        except KubectlFailed:
            return
        acknowledged[name] = int(json.loads(text)["metadata"]["resourceVersion"])


def _written(scene: Scene) -> Obj:
    """The list as the API answers it: kubectl's own has no resource version."""
    path = "/api/v1/namespaces/shop/configmaps?labelSelector=demo%3Dwrites"
    answer: Obj = json.loads(scene.kubectl("get", "--raw", path))
    return answer


def _resume(scene: Scene, version: int) -> None:
    """A watch from a version of before the crash goes on after it; nothing is missing."""
    scene.kubectl("create", "configmap", "write-last")
    scene.kubectl("label", "configmap", "write-last", "demo=writes")
    path = "/api/v1/namespaces/shop/configmaps?labelSelector=demo%3Dwrites&watch=1"
    path += f"&resourceVersion={version}&timeoutSeconds=2"
    lines = scene.kubectl("get", "--raw", path).splitlines()
    events = [json.loads(line) for line in lines]
    seen = [e["object"].get("metadata", {}).get("name", e["object"].get("code")) for e in events]
    scene.fact("a watch from before the crash resumes", "write-last" in seen, seen)
    scene.kubectl("delete", "configmap", "-l", "demo=writes")


def _kill_agent(scene: Scene) -> None:
    node = scene.nodes()[0]
    before = _all_containers(scene)
    scene.kill(scene.layout.pid_file(f"agent-{node}"))
    seconds = scene.bring_back()
    ready = scene.until(lambda: scene.node_ready(node) == "True", 30)
    # The agent has looked at its pods once it answers for their logs.
    time.sleep(3)
    same = _all_containers(scene) == before
    told = f"{node} back in {seconds:.1f} s, same ids, no restart"
    scene.fact("an agent's containers are adopted, not restarted", bool(ready) and same, told)


def _all_containers(scene: Scene) -> dict[str, object]:
    """Every long-lived container: its id, restart count and start."""
    items = scene.get("pods")["items"]
    owned = [p for p in items if "job-name" not in (p["metadata"].get("labels") or {})]
    return {p["metadata"]["name"]: containers(p) for p in owned}
