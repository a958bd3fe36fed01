"""[sig-node] Variable Expansion: subPathExpr of volume mounts."""

from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import FOREVER, container_status, is_ready, phase_is, pod, shell

from sagong.api.types import Obj

NAME = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
ANNOTATION = {
    "name": "ANNOTATION",
    "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['mysubpath']"}},
}


def with_volume(name: str, container: Obj, **spec: object) -> Obj:
    return pod(name, container, volumes=[{"name": "v", "emptyDir": {}}], **spec)


def is_waiting(reason: str) -> object:
    return lambda seen: (
        ((container_status(seen).get("state") or {}).get("waiting") or {}).get("reason") == reason
    )


async def test_a_sub_path_is_expanded(space: Space) -> None:
    mounts = [
        {"name": "v", "mountPath": "/logs", "subPathExpr": "$(POD_NAME)/deep"},
        {"name": "v", "mountPath": "/all"},
    ]
    script = "touch /logs/file && ls /all/expanded/deep"
    container = shell(script, env=[NAME], volumeMounts=mounts)
    await space.run(
        with_volume("expanded", container, restartPolicy="Never"), phase_is("Succeeded")
    )
    assert await space.logs("expanded") == "file\n"


async def test_sub_paths_that_leave_the_volume_are_refused(space: Space) -> None:
    refused = {"absolute": "/tmp", "backticks": "..", "unknown": ""}
    for name, value in refused.items():
        expression = "$(NOBODY)" if name == "unknown" else "$(ANNOTATION)"
        mounts = [{"name": "v", "mountPath": "/logs", "subPathExpr": expression}]
        manifest = with_volume(name, shell("true", env=[ANNOTATION], volumeMounts=mounts))
        manifest["metadata"]["annotations"] = {"mysubpath": value}
        await space.create("pods", manifest)
    for name in refused:
        seen = await space.wait("pods", name, is_waiting("CreateContainerConfigError"))  # type: ignore[arg-type]
        assert seen["status"]["phase"] == "Pending"


async def test_an_unexpanded_command_substitution_is_no_path(space: Space) -> None:
    mounts = [{"name": "v", "mountPath": "/logs", "subPathExpr": "`pwd`/$(ANNOTATION)"}]
    manifest = with_volume("quoted", shell("true", env=[ANNOTATION], volumeMounts=mounts))
    manifest["metadata"]["annotations"] = {"mysubpath": "../.."}
    await space.create("pods", manifest)
    await space.wait("pods", "quoted", is_waiting("CreateContainerConfigError"))  # type: ignore[arg-type]


async def test_a_failing_sub_path_is_mended_by_the_pods_annotation(space: Space) -> None:
    mounts = [
        {"name": "v", "mountPath": "/sub", "subPathExpr": "$(ANNOTATION)"},
        {"name": "v", "mountPath": "/whole"},
    ]
    container = shell(FOREVER, env=[ANNOTATION], volumeMounts=mounts)
    manifest = with_volume("mended", container)
    manifest["metadata"]["annotations"] = {"mysubpath": "/not/allowed"}
    await space.create("pods", manifest)
    await space.wait("pods", "mended", is_waiting("CreateContainerConfigError"))  # type: ignore[arg-type]
    await space.patch("pods", "mended", {"metadata": {"annotations": {"mysubpath": "mypath"}}})
    await space.wait("pods", "mended", is_ready)
    await space.shell("mended", "touch /sub/f && test -f /whole/mypath/f")
    # The running container is not disturbed by a later value, nor is its removal.
    await space.patch("pods", "mended", {"metadata": {"annotations": {"mysubpath": "/bad"}}})
    assert container_status(await space.get("pods", "mended"))["restartCount"] == 0
    await space.shell("mended", "test -f /sub/f")
    await space.delete("pods", "mended")
