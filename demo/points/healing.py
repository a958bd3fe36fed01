"""Point 5: killed containers, deleted pods and a node that dies."""

import subprocess
import time

from demo.points.application import ensure
from demo.scene import GRACE_SECONDS, Obj, Scene, containers, is_ready, names
from sagong.local import containerd, network_namespaces

TAINT = "node.kubernetes.io/unreachable"


def show(scene: Scene) -> None:
    ensure(scene)
    _killed_container(scene)
    _deleted_pod(scene)
    _dead_node(scene)


def _killed_container(scene: Scene) -> None:
    pod = scene.pods("app=client")[0]
    name = pod["metadata"]["name"]
    # Exit of process 1 by its own hand, twice: the second restart has to wait (back-off).
    before = containers(pod)["client"][1]
    for count in (1, 2):
        scene.run_kubectl("exec", name, "--", "sh", "-c", "kill -TERM 1")
        found = scene.until(lambda n=count: _restarted(scene, name, before + n), 40)  # type: ignore[misc]
        scene.fact(f"a container that ended restarts ({count})", bool(found), found)
    event = scene.until(lambda: _events(scene, name, "BackOff"), 5)
    told = "back-off before the second restart"
    scene.fact(told, bool(event) or before > 0, event or "the restart before was long ago")
    again = scene.until(lambda: is_ready(scene.get("pod", name)), 40)
    scene.fact("its pod is Ready again under the same name", again, name)


def _restarted(scene: Scene, name: str, count: int) -> str:
    found = containers(scene.get("pod", name)).get("client")
    return f"restartCount {found[1]}" if found and found[1] >= count and found[2] else ""


def _events(scene: Scene, name: str, reason: str) -> str:
    selector = f"involvedObject.name={name},reason={reason}"
    items = scene.get("events", "--field-selector", selector)["items"]
    return str(items[0]["message"]) if items else ""


def _deleted_pod(scene: Scene) -> None:
    victim = scene.web_pods()[0]["metadata"]["name"]
    scene.kubectl("delete", "pod", victim, "--wait=false")

    def replaced() -> str:
        ready = [pod for pod in scene.web_pods() if is_ready(pod)]
        gone = all(pod["metadata"]["name"] != victim for pod in ready)
        return names(ready) if len(ready) == 3 and gone else ""

    found = scene.until(replaced, 40)
    scene.fact("a deleted pod is replaced", bool(found), found)


def _dead_node(scene: Scene) -> None:
    victim = scene.get("pod", "notes")["spec"]["nodeName"]
    node = next(n for n in reversed(scene.nodes()) if n != victim)
    doomed = [p for p in scene.web_pods() if p["spec"]["nodeName"] == node]
    namespace = network_namespaces.namespace_path(node)
    instance = containerd.instance_for(
        scene.layout.node_dir(node),
        scene.layout.node_run_dir(node),
        network_namespace=str(namespace),
    )
    began = time.monotonic()
    scene.kill(scene.layout.pid_file(f"agent-{node}"), instance.pid_file)
    scene.cut_off(node)
    seconds = GRACE_SECONDS + 20
    lost = scene.until(lambda: scene.node_ready(node) == "Unknown", seconds)
    told = f"{node} after {time.monotonic() - began:.0f} s"
    scene.fact("a dead node is NotReady within the grace period", bool(lost), told)
    taints = scene.until(lambda: _taints(scene, node), 10)
    scene.fact("it is tainted", TAINT in (taints or ""), taints)
    moved = scene.until(lambda: _served_elsewhere(scene, node), 60)
    told = f"{names(doomed)}; now {moved}, {time.monotonic() - began:.0f} s after its death"
    scene.fact("its pods run elsewhere", bool(moved), told)
    _comes_back(scene, node, [pod["metadata"]["uid"] for pod in doomed])


def _taints(scene: Scene, node: str) -> str:
    taints = scene.get("node", node)["spec"].get("taints") or ()
    found = [f"{t['key']}:{t['effect']}" for t in taints]
    return ", ".join(found) if f"{TAINT}:NoExecute" in found else ""


def _served_elsewhere(scene: Scene, node: str) -> str:
    ready = [p for p in scene.web_pods() if is_ready(p) and p["spec"]["nodeName"] != node]
    return names(ready) if len(ready) == 3 else ""


def _comes_back(scene: Scene, node: str, evicted: list[str]) -> None:
    seconds = scene.bring_back()
    ready = scene.until(lambda: scene.node_ready(node) == "True", 60)
    scene.fact("the node comes back", ready == True, f"sagong up took {seconds:.1f} s")  # noqa: E712
    clean = scene.until(lambda: not scene.get("node", node)["spec"].get("taints"), 30)
    scene.fact("its taints are gone", clean)
    running = scene.until(lambda: _no_orphans(scene, node, evicted), 60)
    scene.fact("no container of an evicted pod is left on it", bool(running), running)
    used = scene.until(lambda: is_ready(scene.get("pod", scene.client_on(node))), 60)
    scene.fact("it runs pods again", bool(used), scene.client_on(node))


def _no_orphans(scene: Scene, node: str, evicted: list[str]) -> str:
    """The pods with a sandbox on a node must be those that the API has there."""
    socket = scene.layout.node_run_dir(node) / "containerd.sock"
    command = ["ctr", "-a", str(socket), "-n", "k8s.io", "containers", "ls", "-q"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        return ""
    found = {uid for uid in (_pod_of(socket, c) for c in listing.stdout.split()) if uid}
    wanted = {p["metadata"]["uid"] for p in _all_pods(scene, node)}
    return f"{len(found)} pods" if not found - wanted and not found & set(evicted) else ""


def _pod_of(socket: object, container: str) -> str:
    command = ["ctr", "-a", str(socket), "-n", "k8s.io", "containers", "info", container]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    mark = '"io.kubernetes.pod.uid": "'
    return text.split(mark, 1)[1].split('"', 1)[0] if mark in text else ""


def _all_pods(scene: Scene, node: str) -> list[Obj]:
    items: list[Obj] = scene.get("pods", "-A", "--field-selector", f"spec.nodeName={node}")["items"]
    return items
