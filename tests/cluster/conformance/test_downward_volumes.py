"""downwardAPI volumes and projections: what a pod reads about itself from files."""

import pytest
from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import phase_is, pod, shell

from sagong.api.types import Obj

RESOURCES = {
    "requests": {"cpu": "250m", "memory": "32Mi"},
    "limits": {"cpu": "1250m", "memory": "64Mi"},
}
AMOUNTS = ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory")


def _volume(name: str, *, projected: bool, items: list[Obj], mode: int | None = None) -> Obj:
    fields = {} if mode is None else {"defaultMode": mode}
    if projected:
        return {"name": name, "projected": {"sources": [{"downwardAPI": {"items": items}}],
                                            **fields}}  # fmt: skip
    return {"name": name, "downwardAPI": {"items": items, **fields}}


def _amounts_of(container: str) -> list[Obj]:
    return [
        {"path": amount, "resourceFieldRef": {"containerName": container, "resource": amount}}
        for amount in AMOUNTS
    ]


@pytest.mark.parametrize("projected", [False, True], ids=["downward", "projected"])
async def test_facts_in_files(space: Space, projected: bool) -> None:
    name = [{"path": "podname", "fieldRef": {"fieldPath": "metadata.name"}}]
    private = [{**name[0], "mode": 0o400}]
    volumes = [
        _volume("name", projected=projected, items=name),
        _volume("private", projected=projected, items=name, mode=0o400),
        _volume("private-item", projected=projected, items=private),
        _volume("limited", projected=projected, items=_amounts_of("limited")),
        _volume("unlimited", projected=projected, items=_amounts_of("name")),
    ]

    def reading(volume: str, script: str, **fields: Obj) -> Obj:
        mounts = [{"name": volume, "mountPath": "/v"}]
        return shell(script, name=volume, volumeMounts=mounts, **fields)

    show_name = "stat -Lc %A /v/podname; cat /v/podname"
    show_amounts = "; ".join(f"cat /v/{amount}; echo" for amount in AMOUNTS)
    manifest = pod(
        "facts",
        reading("name", show_name),
        reading("private", show_name),
        reading("private-item", show_name),
        reading("limited", show_amounts, resources=RESOURCES),
        reading("unlimited", show_amounts),
        volumes=volumes,
        restartPolicy="Never",
    )
    seen = await space.run(manifest, phase_is("Succeeded"))
    assert await space.logs("facts", "name") == "-rw-r--r--\nfacts"
    assert await space.logs("facts", "private") == "-r--------\nfacts"
    assert await space.logs("facts", "private-item") == "-r--------\nfacts"
    limited = (await space.logs("facts", "limited")).split()
    assert limited == ["2", str(64 << 20), "1", str(32 << 20)]
    # Without limits: what the node can give; without requests: nothing.
    node = await space.client.get("nodes", seen["spec"]["nodeName"])
    given = (await space.logs("facts", "unlimited")).split()
    cpu = node["status"]["allocatable"]["cpu"]
    cores = -(-int(cpu[:-1]) // 1000) if cpu.endswith("m") else int(cpu)
    assert given[0] == str(cores)
    memory = node["status"]["allocatable"]["memory"]
    assert given[1] == str(int(memory.removesuffix("Ki")) * 1024)
    assert given[2:] == ["0", "0"]
