"""``demo/run``: try the points that are named, or all, and say what was seen."""

import os
import sys
from pathlib import Path

from demo.points import POINTS
from demo.scene import KubectlFailed, Scene
from sagong.local.layout import DEFAULT_DATA_DIR, DEFAULT_RUN_DIR, Layout


def main(arguments: list[str]) -> int:
    """The number of facts that failed, at most 100."""
    first = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    kubeconfig = Path(first) if first else Path.home() / ".kube" / "config"
    scene = Scene(Layout(DEFAULT_DATA_DIR, DEFAULT_RUN_DIR), kubeconfig)
    numbers = [int(word) for word in arguments] or sorted(POINTS)
    for number in numbers:
        title, point = POINTS[number]
        print(f"\n{number}. {title}", flush=True)
        try:
            point(scene)
        except (KubectlFailed, TimeoutError) as error:
            scene.fact("the point came to its end", False, str(error))
    failed = scene.failed
    count = len(scene.facts)
    print(f"\n{count - len(failed)} of {count} facts ok")
    for fact in failed:
        print(f"  FAILED {fact.text}")
    return min(len(failed), 100)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
