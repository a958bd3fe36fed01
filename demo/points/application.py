"""Point 1: manifests in the style of real projects, and what runs because of them."""

import re
from pathlib import Path

from demo.scene import MANIFESTS, NAMESPACE, Obj, Scene, names

_CRI_LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\S+ (stdout|stderr) [FP] .*")


def ensure(scene: Scene) -> None:
    """Apply the application and wait until all of it is there. Raises KubectlFailed."""
    scene.kubectl("apply", "-f", str(MANIFESTS))
    for workload in ("deployment/web", "statefulset/db", "daemonset/client"):
        scene.kubectl("rollout", "status", workload, "--timeout=90s", seconds=100)
    scene.kubectl("wait", "pod/notes", "--for=condition=Ready", "--timeout=60s")


def show(scene: Scene) -> None:
    ensure(scene)
    scene.kubectl("wait", "job/migrate", "--for=condition=complete", "--timeout=60s")
    nodes = set(scene.nodes())
    web, clients = scene.web_pods(), scene.pods("app=client")
    on = {pod["spec"]["nodeName"] for pod in web}
    scene.fact("web runs on every node", on == nodes, names(web))
    scene.fact("the daemon set has a pod on every node", len(clients) == len(nodes))
    claims = scene.get("pvc")["items"]
    bound = [c["metadata"]["name"] for c in claims if c["status"].get("phase") == "Bound"]
    scene.fact("every claim has its volume", len(bound) == 3, ", ".join(bound))
    for kind in ("ingress/web", "networkpolicy/web", "pdb/web", "hpa/web", "cronjob/report"):
        scene.fact(f"{kind} is stored", scene.get(kind)["metadata"]["name"] != "")
    _inside(scene, web[0])
    _cgroups(scene)
    _logs(scene, web[0])


def _inside(scene: Scene, pod: Obj) -> None:
    name = pod["metadata"]["name"]
    script = (
        'echo "$GREETING|$PASSWORD|$POD_NAME|$POD_IP|$NODE_NAME|$MEMORY_LIMIT"; '
        "cat /etc/secret/password; echo; cat /etc/podinfo/labels; echo; cat /www/healthz"
    )
    lines = scene.shell(name, script).splitlines()
    password = "correct horse battery staple"
    wanted = ["hello", password, name, pod["status"]["podIP"], pod["spec"]["nodeName"], "64"]
    scene.fact("environment from config map, secret and fields", lines[0].split("|") == wanted)
    scene.fact("a secret and the labels as files", lines[1] == password and len(lines) > 3)
    scene.fact("the init container ran first", lines[-1] == "ok")


def _cgroups(scene: Scene) -> None:
    """Where a pod's cgroup is, by its quality of service."""
    wanted = {"app.kubernetes.io/name=web": "Burstable", "app=db": "Guaranteed"}
    wanted["app=client"] = "BestEffort"
    for selector, qos in wanted.items():
        pod = scene.pods(selector)[0]
        middle = "" if qos == "Guaranteed" else f"{qos.lower()}/"
        patterns = (f"kubepods*/{middle}pod{pod['metadata']['uid']}",)
        patterns += (f"*/{patterns[0]}",)  # one directory a controller on cgroup v1
        root = Path("/sys/fs/cgroup")
        found = [str(path) for pattern in patterns for path in root.glob(pattern)]
        right = bool(found) and pod["status"]["qosClass"] == qos
        scene.fact(f"{qos} pods have their cgroup", right, found[0] if found else "none")


def _logs(scene: Scene, pod: Obj) -> None:
    meta = pod["metadata"]
    directory = f"{NAMESPACE}_{meta['name']}_{meta['uid']}"
    node_dir = scene.layout.node_dir(pod["spec"]["nodeName"])
    for base in (node_dir / "pod-logs", Path("/var/log/pods")):
        path = base / directory / "prepare" / "0.log"
        if path.exists():
            line = path.read_text().splitlines()[0]
            scene.fact("logs on disk in CRI format", bool(_CRI_LINE.match(line)), line)
            return
    scene.fact("logs on disk in CRI format", False, f"no {directory}")
