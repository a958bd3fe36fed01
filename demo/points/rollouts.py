"""Point 4: a new version under load, back again, and a version that does not start."""

import time

from demo.load import Seen, load
from demo.points.application import ensure
from demo.scene import NODE_PORT, Scene, is_ready, names

PER_SECOND = 200


def show(scene: Scene) -> None:
    ensure(scene)
    addresses = [scene.node_address(node) for node in scene.nodes()]
    with load(addresses, NODE_PORT, PER_SECOND) as seen:
        time.sleep(2)
        scene.kubectl("set", "env", "deployment/web", "VERSION=v2")
        scene.kubectl("annotate", "deployment/web", "kubernetes.io/change-cause=version 2",
                      "--overwrite")  # fmt: skip
        scene.kubectl("rollout", "status", "deployment/web", "--timeout=120s", seconds=130)
        _wait_old_gone(scene, "v2")
        time.sleep(1)
    _tell(scene, "an update", seen)
    scene.fact("both versions were seen", {"v1", "v2"} <= set(seen.versions), dict(seen.versions))
    history = scene.kubectl("rollout", "history", "deployment/web")
    scene.fact("rollout history tells both", "version 1" in history and "version 2" in history)
    with load(addresses, NODE_PORT, PER_SECOND) as seen:
        scene.kubectl("rollout", "undo", "deployment/web")
        scene.kubectl("rollout", "status", "deployment/web", "--timeout=120s", seconds=130)
        _wait_old_gone(scene, "v1")
        time.sleep(1)
    _tell(scene, "rollout undo", seen)
    answer = scene.shell(scene.web_pods()[0]["metadata"]["name"], "echo $VERSION").strip()
    scene.fact("undo brought version 1 back", answer == "v1", answer)
    _broken(scene, addresses)


def _wait_old_gone(scene: Scene, version: str) -> None:
    """Until no pod of another version is left, deleted ones included."""

    def only_new() -> bool:
        items = scene.get("pods", "-l", "app.kubernetes.io/name=web")["items"]
        entries = [e for p in items for e in p["spec"]["containers"][0]["env"]]
        return {e["value"] for e in entries if e["name"] == "VERSION"} == {version}

    scene.until(only_new, 60)


def _tell(scene: Scene, what: str, seen: Seen) -> None:
    told = f"{seen.sent} requests, {seen.failed} failed {dict(seen.failures) or ''}"
    scene.fact(f"{what} under {PER_SECOND} requests/s loses none", seen.failed == 0, told)


def _broken(scene: Scene, addresses: list[str]) -> None:
    before = {pod["metadata"]["name"] for pod in scene.web_pods()}
    with load(addresses, NODE_PORT, PER_SECOND // 4) as seen:
        scene.kubectl("set", "image", "deployment/web", "web=sagong.local/no-such-image:1")
        reason = scene.until(lambda: _waiting_reason(scene), 40)
        scene.fact("a broken image is named", "Image" in (reason or ""), reason)
        status = scene.run_kubectl("rollout", "status", "deployment/web", "--timeout=3s")
        told = status.stdout + status.stderr
        stopped = status.returncode != 0 and "out of" in told
        scene.fact("rollout status says that it waits", stopped, told)
    serving = [pod for pod in scene.web_pods() if pod["metadata"]["name"] in before]
    right = len(serving) == 3 and all(map(is_ready, serving))
    scene.fact("all old pods still serve", right and not seen.failed, names(serving))
    scene.kubectl("rollout", "undo", "deployment/web")
    scene.kubectl("rollout", "status", "deployment/web", "--timeout=60s", seconds=70)


def _waiting_reason(scene: Scene) -> str:
    for pod in scene.web_pods():
        for status in pod["status"].get("containerStatuses") or ():
            reason = str((status["state"].get("waiting") or {}).get("reason", ""))
            if "Image" in reason:
                return reason
    return ""
