"""How long real pods take: one run to Ready, many rolled out, and the same deleted.

    python bench/pods.py --kubeconfig FILE [--image IMAGE] [--pods 30] [--node NODE] [--rounds 3]

Works against any cluster, so that the same run against genuine Kubernetes gives the ratio; the
image must be on the nodes already. kubectl does the asking, as in the recorded baseline.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

NAMESPACE = "bench-pods"
# (row of the table, what genuine Kubernetes 1.36.2 took, what is to be reached), seconds
ROWS = {
    "run": ("`kubectl run` to Ready, real container", 0.56, 0.5),
    "roll out": ("Deployment of {pods} real pods, apply to rolled out, one node", 4.7, 4.0),
    "delete": ("the same {pods} deleted, foreground", 1.9, 1.9),
}
COMMAND = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"]


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl against one cluster."""

    kubeconfig: str

    def __call__(self, *arguments: str, text: str | None = None) -> str:
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", f"--namespace={NAMESPACE}"]
        done = subprocess.run(
            [*command, *arguments], input=text, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            sys.exit(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def deployment(image: str, pods: int, node: str) -> str:
    labels = {"app": "many"}
    container = {"name": "c", "image": image, "command": COMMAND}
    spec: dict[str, object] = {"containers": [container], "terminationGracePeriodSeconds": 5}
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "many"},
            "spec": {
                "replicas": pods,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
    )


def run_one(kubectl: Kubectl, image: str, number: int) -> float:
    name = f"one-{number}"

    def run() -> None:
        kubectl("run", name, f"--image={image}", "--restart=Never", "--command", "--", *COMMAND)
        kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")

    took = seconds(run)
    kubectl("delete", "pod", name, "--grace-period=1")
    return took


def roll_out(kubectl: Kubectl, manifest: str) -> float:
    def apply() -> None:
        kubectl("apply", "-f", "-", text=manifest)
        kubectl("rollout", "status", "deployment/many", "--timeout=120s")

    return seconds(apply)


def delete(kubectl: Kubectl) -> float:
    return seconds(
        lambda: kubectl("delete", "deployment", "many", "--cascade=foreground", "--wait=true")
    )


def measure(kubectl: Kubectl, arguments: argparse.Namespace) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {row: [] for row in ROWS}
    manifest = deployment(arguments.image, arguments.pods, arguments.node)
    for number in range(arguments.rounds):
        figures["run"].append(run_one(kubectl, arguments.image, number))
        figures["roll out"].append(roll_out(kubectl, manifest))
        figures["delete"].append(delete(kubectl))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--image", default="sagong.local/busybox:1")
    parser.add_argument("--pods", type=int, default=30)
    parser.add_argument("--node", default="", help="run them all on this node")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    kubectl = Kubectl(arguments.kubeconfig)
    kubectl("create", "namespace", NAMESPACE)
    try:
        figures = measure(kubectl, arguments)
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=true")
    print(
        "| what | median | best | Kubernetes 1.36.2 | to reach |\n| --- | --- | --- | --- | --- |"
    )
    for row, (name, genuine, goal) in ROWS.items():
        took = figures[row]
        middle, best = statistics.median(took), min(took)
        print(
            f"| {name.format(pods=arguments.pods)} | {middle:.2f} s | {best:.2f} s "
            f"| {genuine:g} s | {goal:g} s |"
        )


if __name__ == "__main__":
    main()
