"""configMap, secret and projected volumes: content, modes, paths, users and groups.

Each case is a container of one pod for a kind of volume; those that need a security context of
the whole pod have pods of their own. All pods run at once.
"""

import asyncio
import base64
from dataclasses import dataclass, field

import pytest
from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import phase_is, pod, shell

from sagong.api.types import Obj

DATA = {"data-1": "value-1", "data-2": "value-2", "data-3": "value-3"}
BINARY = bytes([0xDE, 0xCA, 0xFE, 0xBA, 0xD0, 0xFE, 0xFF])
MAPPED = [{"key": "data-2", "path": "path/to/data-2"}]
MAPPED_0400 = [{"key": "data-2", "path": "path/to/data-2", "mode": 0o400}]
KINDS = ("configMap", "secret", "projected-configMap", "projected-secret")


@dataclass(frozen=True, slots=True)
class Case:
    """A volume with these fields shows ``path`` with this mode and content."""

    path: str = "data-1"
    content: str = "value-1"
    mode: str = "-rw-r--r--"
    items: list[Obj] = field(default_factory=list)
    default_mode: int | None = None
    user: int | None = None

    def volume(self, name: str, kind: str, object_name: str) -> Obj:
        projected, _, plain = kind.rpartition("-")
        source: Obj = {"items": self.items} if self.items else {}
        mode = {} if self.default_mode is None else {"defaultMode": self.default_mode}
        if projected:
            sources = [{plain: {"name": object_name, **source}}]
            return {"name": name, "projected": {"sources": sources, **mode}}
        named = {"secretName" if plain == "secret" else "name": object_name}
        return {"name": name, plain: {**named, **source, **mode}}

    def container(self, name: str) -> Obj:
        return shell(
            f"stat -Lc %A /v/{self.path}; cat /v/{self.path}",
            name=name,
            volumeMounts=[{"name": name, "mountPath": "/v", "readOnly": True}],
            **({"securityContext": {"runAsUser": self.user}} if self.user else {}),
        )

    @property
    def expected(self) -> str:
        return f"{self.mode}\n{self.content}"


CASES = {
    "plain": Case(),
    "default-mode": Case(mode="-r--------", default_mode=0o400),
    "non-root": Case(user=1000),
    "mapped": Case("path/to/data-2", "value-2", items=MAPPED),
    "mapped-item-mode": Case("path/to/data-2", "value-2", "-r--------", items=MAPPED_0400),
    "mapped-non-root": Case("path/to/data-2", "value-2", items=MAPPED, user=1000),
}
# Readable by the group alone: what is read is read by membership of fsGroup.
GROUP_CASE = Case(mode="-r--r-----", default_mode=0o440, user=1000)
NO_MAPPED_GROUP = Case("path/to/data-2", "value-2", "-r--r-----", items=MAPPED, default_mode=0o440)


async def _make_objects(space: Space, name: str) -> None:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in DATA.items()}
    binary = {"dump.bin": base64.b64encode(BINARY).decode()}
    await space.create(
        "configmaps", {"metadata": {"name": name}, "data": DATA, "binaryData": binary}
    )
    await space.create("secrets", {"metadata": {"name": name}, "data": encoded})


@pytest.mark.parametrize("kind", KINDS)
async def test_files(space: Space, kind: str) -> None:
    """Every case, and the same object in two volumes of one pod."""
    await _make_objects(space, "origin")
    twice = ("again-1", "again-2")
    reading_both = shell(
        "cat /one/data-1; echo; cat /two/data-1; echo; stat -Lc %A /one/data-1",
        name="twice",
        volumeMounts=[
            {"name": volume, "mountPath": path, "readOnly": True}
            for volume, path in zip(twice, ("/one", "/two"), strict=True)
        ],
    )
    cases = pod(
        "cases",
        *(case.container(name) for name, case in CASES.items()),
        reading_both,
        volumes=[
            *(case.volume(name, kind, "origin") for name, case in CASES.items()),
            *(Case().volume(name, kind, "origin") for name in twice),
        ],
        restartPolicy="Never",
    )
    group = pod(
        "group",
        GROUP_CASE.container("c0"),
        NO_MAPPED_GROUP.container("mapped"),
        volumes=[
            GROUP_CASE.volume("c0", kind, "origin"),
            NO_MAPPED_GROUP.volume("mapped", kind, "origin"),
        ],
        restartPolicy="Never",
        securityContext={"runAsUser": 1000, "fsGroup": 1001},
    )
    await asyncio.gather(*(space.run(p, phase_is("Succeeded")) for p in (cases, group)))
    for name, case in CASES.items():
        assert await space.logs("cases", name) == case.expected, name
    assert await space.logs("cases", "twice") == "value-1\nvalue-1\n-rw-r--r--\n"
    assert await space.logs("group", "c0") == GROUP_CASE.expected
    assert await space.logs("group", "mapped") == NO_MAPPED_GROUP.expected


async def test_binary_data(space: Space) -> None:
    await _make_objects(space, "origin")
    reading = shell(
        "cat /v/data-1; echo; od -An -v -tx1 /v/dump.bin",
        volumeMounts=[{"name": "v", "mountPath": "/v"}],
    )
    manifest = pod(
        "binary", reading, volumes=[Case().volume("v", "configMap", "origin")],
        restartPolicy="Never",
    )  # fmt: skip
    await space.run(manifest, phase_is("Succeeded"))
    text, dump = (await space.logs("binary")).splitlines()
    assert text == "value-1"
    assert bytes.fromhex(dump.replace(" ", "")) == BINARY


async def test_a_secret_of_the_same_name_elsewhere(space: Space) -> None:
    other = f"{space.name}-other"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}}
    await space.client.create("namespaces", namespace)
    try:
        stranger = {"metadata": {"name": "origin"}, "data": {"other": "b3RoZXI="}}
        await space.client.create("secrets", stranger, namespace=other)
        await _make_objects(space, "origin")
        reading = shell(
            "stat -Lc %A /v/data-1; cat /v/data-1; ls /v",
            volumeMounts=[{"name": "v", "mountPath": "/v"}],
        )
        manifest = pod(
            "same", reading, volumes=[Case().volume("v", "secret", "origin")],
            restartPolicy="Never",
        )  # fmt: skip
        await space.run(manifest, phase_is("Succeeded"))
        seen = await space.logs("same")
        assert seen == "-rw-r--r--\nvalue-1data-1\ndata-2\ndata-3\n"
    finally:
        await space.client.delete("namespaces", other)


async def test_all_projections_in_one_volume(space: Space) -> None:
    await _make_objects(space, "origin")
    sources = [
        {
            "downwardAPI": {
                "items": [{"path": "podname", "fieldRef": {"fieldPath": "metadata.name"}}]
            }
        },
        {"secret": {"name": "origin", "items": [{"key": "data-1", "path": "secret-data"}]}},
        {"configMap": {"name": "origin", "items": [{"key": "data-2", "path": "configmap-data"}]}},
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600, "audience": "vault"}},
    ]
    reading = shell(
        "cat /all/podname; echo; cat /all/secret-data; echo; cat /all/configmap-data; echo; "
        "cut -d. -f2 /all/token | tr '_-' '/+' | base64 -d 2>/dev/null",
        volumeMounts=[{"name": "all", "mountPath": "/all"}],
    )
    manifest = pod(
        "combined", reading, volumes=[{"name": "all", "projected": {"sources": sources}}],
        restartPolicy="Never",
    )  # fmt: skip
    await space.run(manifest, phase_is("Succeeded"))
    lines = (await space.logs("combined")).splitlines()
    assert lines[:3] == ["combined", "value-1", "value-2"]
    assert '"aud":["vault"]' in lines[3]
    assert '"name":"combined"' in lines[3]
