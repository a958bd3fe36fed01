"""Point 6: data that outlives pods, agents and servers, and goes with its claim."""

from pathlib import Path

from demo.points.application import ensure
from demo.scene import MANIFESTS, Scene

DATA = "data of the demonstration"


def show(scene: Scene) -> None:
    ensure(scene)
    kind = scene.get("storageclass/local")
    waits = kind["volumeBindingMode"] == "WaitForFirstConsumer"
    scene.fact("the default storage class waits for its first consumer", waits)
    scene.shell("notes", f"echo '{DATA}' > /notes/file")
    volume = scene.get("pvc/notes")["spec"]["volumeName"]
    path = Path(scene.get("pv", volume)["spec"]["local"]["path"])
    scene.fact("the volume is a directory on its node", path.is_dir(), path)
    scene.kubectl("delete", "pod", "notes")
    _start_pod(scene)
    _still_there(scene, "the pod was deleted and made again")
    node = scene.get("pod", "notes")["spec"]["nodeName"]
    scene.kill(scene.layout.pid_file(f"agent-{node}"))
    scene.bring_back()
    _still_there(scene, "the agent was killed and started")
    scene.kill(scene.layout.pid_file("server"))
    scene.bring_back()
    _still_there(scene, "the server was killed and started")
    scene.kubectl("delete", "pod", "notes")
    scene.kubectl("delete", "pvc", "notes")
    gone = scene.until(lambda: not path.exists() and _volume_gone(scene, volume), 60)
    scene.fact("volume and directory go with the claim", gone, volume)
    ensure(scene)
    listing = scene.shell("notes", "ls /notes")
    scene.fact("a new claim of the same name starts empty", listing == "", listing)


def _start_pod(scene: Scene) -> None:
    scene.kubectl("apply", "-f", str(MANIFESTS / "20-data.yaml"))
    scene.kubectl("wait", "pod/notes", "--for=condition=Ready", "--timeout=60s")


def _still_there(scene: Scene, after: str) -> None:
    read = scene.until(lambda: scene.shell("notes", "cat /notes/file").strip(), 30)
    scene.fact(f"data is there after {after}", read == DATA, read)


def _volume_gone(scene: Scene, volume: str) -> bool:
    return "NotFound" in scene.run_kubectl("get", "pv", volume).stderr
