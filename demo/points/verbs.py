"""Point 2: kubectl's verbs, as a user types them."""

import socket
import subprocess
import tempfile
import time
from pathlib import Path

from demo.points.application import ensure
from demo.points.services import fetch
from demo.scene import MANIFESTS, Scene

# What is typed, and what must be in the answer.
ASKED = (
    ("get pods -o wide", "NOMINATED NODE"),
    ("get pods -o name", "pod/notes"),
    ("get pod notes -o yaml", "kind: Pod"),
    ("get pod notes -o json", '"kind": "Pod"'),
    ("get pods -o custom-columns=N:.metadata.name,P:.status.phase", "Running"),
    ("get pod notes -o jsonpath={.status.phase}", "Running"),
    ("get pods --show-labels", "app=notes"),
    ("get pods --sort-by=.metadata.creationTimestamp", "notes"),
    ("get pods -l app=notes --field-selector=status.phase=Running", "notes"),
    ("get all", "statefulset.apps/db"),
    ("get events", "Scheduled"),
    ("describe pod notes", "Successfully assigned shop/notes"),
    ("describe deployment web", "NewReplicaSet:"),
    ("describe service web", "Endpoints:"),
    ("describe node", "Allocated resources"),
    ("explain deployment.spec.strategy", "rollingUpdate"),
    ("api-resources", "horizontalpodautoscalers"),
    ("api-versions", "networking.k8s.io/v1"),
    ("cluster-info", "Kubernetes control plane"),
    ("version", "Server Version: v1.36"),
    ("auth can-i create pods", "yes"),
    ("auth can-i list secrets --as=system:serviceaccount:shop:web", "no"),
    ("auth whoami", "system:masters"),
    ("logs job/migrate", "migrated by"),
    ("logs deployment/web -c prepare --tail=1", "prepared"),
    ("logs deployment/web --since=1h --timestamps --tail=2", "Z"),
    ("exec notes -- echo hello", "hello"),
    ("exec deployment/web -c web -- env", "VERSION=v1"),
    ("top node", "CPU"),
    ("top pod", "MEMORY"),
    ("rollout history deployment/web", "REVISION"),
)
# Changes: each is undone by a later one.
CHANGED = (
    ("create configmap demo-verbs --from-literal=a=1", "created"),
    ("label configmap demo-verbs tier=demo", "labeled"),
    ("annotate configmap demo-verbs note=yes", "annotated"),
    ("patch configmap demo-verbs -p {\"data\":{\"a\":\"2\"}}", "patched"),
    ("get configmap demo-verbs -o jsonpath={.data.a}", "2"),
    ("delete configmap demo-verbs", "deleted"),
    ("scale deployment/web --replicas=4", "scaled"),
    ("rollout status deployment/web --timeout=60s", "successfully rolled out"),
    ("scale deployment/web --replicas=3", "scaled"),
    ("rollout pause deployment/web", "paused"),
    ("rollout resume deployment/web", "resumed"),
    ("rollout restart daemonset/client", "restarted"),
    ("rollout status daemonset/client --timeout=90s", "successfully rolled out"),
    ("run demo-run --image=sagong.local/busybox:1 --restart=Never -- echo ran", "created"),
    ("wait pod/demo-run --for=jsonpath={.status.phase}=Succeeded --timeout=30s", "met"),
    ("logs demo-run", "ran"),
    ("delete pod demo-run", "deleted"),
    ("apply --server-side --field-manager=demo -f MANIFESTS/30-work.yaml --force-conflicts",
     "serverside-applied"),
    ("apply -f MANIFESTS", "unchanged"),
)  # fmt: skip


def show(scene: Scene) -> None:
    ensure(scene)
    for line, wanted in (*ASKED, *CHANGED):
        _try(scene, line, wanted)
    _diff(scene)
    _watch(scene)
    _follow(scene)
    _copy(scene)
    _forward(scene)
    _attach(scene)
    _terminal(scene)
    _edit(scene)
    _debug(scene)
    _drain(scene)


def _try(scene: Scene, line: str, wanted: str) -> None:
    words = [word.replace("MANIFESTS", str(MANIFESTS)) for word in line.split()]
    result = scene.run_kubectl(*words)
    answer = result.stdout + result.stderr
    right = wanted in answer
    scene.fact(f"kubectl {line}", right, "" if right else answer)


def _diff(scene: Scene) -> None:
    result = scene.run_kubectl("diff", "-f", str(MANIFESTS))
    right = result.returncode == 0 and not result.stdout
    scene.fact("kubectl diff of what is applied is empty", right, result.stdout + result.stderr)
    text = (MANIFESTS / "10-shop.yaml").read_text().replace("LOG_LEVEL: info", "LOG_LEVEL: debug")
    result = scene.run_kubectl("diff", "-f", "-", stdin=text)
    right = result.returncode == 1 and "+  LOG_LEVEL: debug" in result.stdout
    scene.fact("kubectl diff shows a change", right, result.stderr)


def _background(scene: Scene, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["kubectl", "-n", "shop", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=scene.environment,
    )


def _end(process: subprocess.Popen[str]) -> str:
    process.terminate()
    return process.communicate(timeout=10)[0]


def _watch(scene: Scene) -> None:
    watch = _background(scene, "get", "configmap", "-w", "-o", "name")
    time.sleep(1)
    scene.kubectl("create", "configmap", "demo-watched")
    scene.kubectl("delete", "configmap", "demo-watched")
    time.sleep(0.5)
    answer = _end(watch)
    scene.fact("kubectl get -w", answer.count("configmap/demo-watched") == 2, answer)


def _follow(scene: Scene) -> None:
    script = "for i in 1 2 3; do echo line $i; sleep 0.5; done"
    scene.kubectl("delete", "pod", "demo-follow", "--ignore-not-found", "--now")
    scene.kubectl("run", "demo-follow", "--image=sagong.local/busybox:1", "--restart=Never",
                  "--", "sh", "-c", script)  # fmt: skip
    scene.kubectl("wait", "pod/demo-follow", "--for=jsonpath={.status.startTime}")
    ready = "--for=condition=PodReadyToStartContainers"
    scene.kubectl("wait", "pod/demo-follow", ready, "--timeout=20s")
    time.sleep(0.5)
    answer = scene.kubectl("logs", "-f", "demo-follow", seconds=20)
    scene.fact("kubectl logs -f ends with the container", "line 3" in answer, answer)
    scene.kubectl("delete", "pod", "demo-follow", "--now", "--wait=false")


def _copy(scene: Scene) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory, "source"), Path(directory, "target")
        source.write_bytes(bytes(range(256)) * 4096)
        scene.run_kubectl("cp", str(source), "notes:/tmp/copied")
        result = scene.run_kubectl("cp", "notes:/tmp/copied", str(target))
        same = target.exists() and target.read_bytes() == source.read_bytes()
        scene.fact("kubectl cp, there and back, 1 MiB", same, result.stderr)


def _forward(scene: Scene) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    forward = _background(scene, "port-forward", "service/web", f"{port}:80")
    try:
        answer = scene.until(lambda: _answer(port), 10)
        scene.fact("kubectl port-forward", bool(answer), answer)
    finally:
        _end(forward)


def _answer(port: int) -> str:
    text = fetch(f"http://127.0.0.1:{port}/")
    return text if "pod=web-" in text else ""


def _attach(scene: Scene) -> None:
    scene.kubectl("delete", "pod", "demo-attach", "--ignore-not-found", "--now")
    result = scene.run_kubectl(
        "run", "demo-attach", "-i", "--rm", "--image=sagong.local/busybox:1", "--restart=Never",
        "--", "sh", "-c", "read line; echo got $line", stdin="words\n", seconds=40,
    )  # fmt: skip
    answer = result.stdout + result.stderr
    scene.fact("kubectl run -i --rm attaches", "got words" in answer, answer)


def _terminal(scene: Scene) -> None:
    """A terminal of 100 by 30, by script(1): the size must reach the container."""
    inner = "stty rows 30 cols 100; kubectl -n shop exec -it notes -- sh -c 'sleep 1; stty size'"
    result = subprocess.run(
        ["script", "-qec", inner, "/dev/null"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        env=scene.environment,
        check=False,
    )
    scene.fact("kubectl exec -it has a terminal of our size", "30 100" in result.stdout,
               result.stdout)  # fmt: skip


def _edit(scene: Scene) -> None:
    scene.kubectl("create", "configmap", "demo-edit", "--from-literal=a=before")
    environment = {**scene.environment, "KUBE_EDITOR": "sed -i s/before/after/"}
    subprocess.run(["kubectl", "-n", "shop", "edit", "configmap", "demo-edit"],
                   env=environment, capture_output=True, timeout=30, check=False)  # fmt: skip
    value = scene.kubectl("get", "configmap", "demo-edit", "-o", "jsonpath={.data.a}")
    scene.fact("kubectl edit", value == "after", value)
    scene.kubectl("delete", "configmap", "demo-edit")


def _debug(scene: Scene) -> None:
    scene.run_kubectl("debug", "notes", "--image=sagong.local/busybox:1", "-c", "demo-debug",
                      "--profile=general", "--", "sh", "-c", "echo debugging; sleep 1")  # fmt: skip
    logs = scene.until(lambda: scene.kubectl("logs", "notes", "-c", "demo-debug"), 15)
    scene.fact("kubectl debug adds a container", "debugging" in (logs or ""), logs)


def _drain(scene: Scene) -> None:
    node = scene.get("pod", "notes")["spec"]["nodeName"]
    other = next(n for n in scene.nodes() if n != node)
    try:
        result = scene.run_kubectl("drain", other, "--ignore-daemonsets", "--timeout=60s",
                                   "--delete-emptydir-data")  # fmt: skip
        scene.fact("kubectl drain", "drained" in result.stdout, result.stderr)
        left = [p for p in scene.web_pods() if p["spec"].get("nodeName") == other]
        scene.fact("it leaves none of the application there", not left)
        answer = scene.kubectl("get", "node", other)
        scene.fact("the node is cordoned", "SchedulingDisabled" in answer)
    finally:
        answer = scene.kubectl("uncordon", other)
    scene.fact("kubectl uncordon", "uncordoned" in answer)
