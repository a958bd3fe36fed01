"""subPath mounts of files that atomic writers make: configMap, secret, downwardAPI, projected."""

from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import phase_is, pod, shell

from sagong.api.types import Obj

CONTENTS = {
    "configmap": "configmap-contents",
    "existing": "configmap-contents",
    "secret": "secret-contents",
    "downward": "reader",
    "projected": "configmap-contents",
}


def _volumes() -> list[Obj]:
    name = [{"path": "downward", "fieldRef": {"fieldPath": "metadata.name"}}]
    config = {"configMap": {"name": "origin"}}
    return [
        {"name": "configmap", **config},
        {"name": "existing", **config},
        {"name": "secret", "secret": {"secretName": "origin"}},
        {"name": "downward", "downwardAPI": {"items": name}},
        {"name": "projected", "projected": {"sources": [config]}},
    ]


async def test_files_of_atomic_writers(space: Space) -> None:
    """Each is read in a loop for a while, at a path of its own or in place of a file."""
    await space.create(
        "configmaps", {"metadata": {"name": "origin"}, "data": {"key": "configmap-contents"}}
    )
    await space.create(
        "secrets", {"metadata": {"name": "origin"}, "stringData": {"key": "secret-contents"}}
    )
    containers = []
    for volume in _volumes():
        kind = volume["name"]
        path = "/etc/resolv.conf" if kind == "existing" else "/test-volume"
        mounts = [
            {"name": kind, "mountPath": path, "subPath": "downward" if kind == "downward"
             else "key"},
            {"name": kind, "mountPath": "/whole"},
        ]  # fmt: skip
        script = (
            f"for i in $(seq 20); do [ \"$(cat {path})\" = '{CONTENTS[kind]}' ] || exit 1; "
            f"sleep 0.05; done; [ -f {path} ] && cat {path}"
        )
        containers.append(shell(script, name=kind, volumeMounts=mounts))
    manifest = pod("reader", *containers, volumes=_volumes(), restartPolicy="Never")
    await space.run(manifest, phase_is("Succeeded"))
    for kind, text in CONTENTS.items():
        assert await space.logs("reader", kind) == text, kind
