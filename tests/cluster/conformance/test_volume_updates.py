"""Volumes follow their objects: changed, created and deleted ConfigMaps, Secrets, labels.

All pods of a test wait for the same round of the agents' upkeep, so one test costs one round.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping

from tests.cluster.conformance.cluster import WAIT_SECONDS, Space
from tests.cluster.manifests import is_ready, pod, pod_spec, shell

from sagong.api.types import Obj

RESOURCES = {"configMap": "configmaps", "secret": "secrets"}
KINDS = ("configMap", "secret", "projected-configMap", "projected-secret")


def _object(resource: str, name: str, data: Mapping[str, str]) -> Obj:
    if resource == "secrets":
        data = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return {"metadata": {"name": name}, "data": dict(data)}


def _volume(volume: str, kind: str, name: str, *items: str) -> Obj:
    """An optional source."""
    projected, _, plain = kind.rpartition("-")
    chosen = {"items": [{"key": key, "path": f"path/to/{key}"} for key in items]} if items else {}
    if projected:
        sources = [{plain: {"name": name, "optional": True, **chosen}}]
        return {"name": volume, "projected": {"sources": sources}}
    named = {"secretName" if plain == "secret" else "name": name}
    return {"name": volume, plain: {**named, "optional": True, **chosen}}


def _mounting(volume: str, name: str) -> Obj:
    return {"name": name, "volumeMounts": [{"name": volume, "mountPath": "/v"}]}


async def _wait_file(
    space: Space, pod_name: str, container: str, path: str, holds: Callable[[str], bool]
) -> str:
    """What is in a file, once it holds; an absent file is ""."""
    text = ""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            text = await space.shell(pod_name, f"cat /v/{path} 2>/dev/null || true", container)
            if holds(text):
                return text
            await asyncio.sleep(0.5)


async def _run_three(space: Space, kind: str) -> None:
    """A pod whose containers have volumes of objects to be deleted, changed and created."""
    name, resource = kind.lower(), RESOURCES[kind.rpartition("-")[2]]
    for use in ("deleted", "changed"):
        await space.create(resource, _object(resource, f"{use}-{name}", {"data-1": "value-1"}))
    volumes = [
        _volume("deleted", kind, f"deleted-{name}"),
        _volume("changed", kind, f"changed-{name}", "data-3"),
        _volume("created", kind, f"created-{name}"),
    ]
    sleeping = pod_spec()["containers"][0]
    containers = [{**sleeping, **_mounting(v["name"], v["name"])} for v in volumes]
    await space.run(pod(name, *containers, volumes=volumes), is_ready)
    assert await space.shell(name, "cat /v/data-1", "deleted") == "value-1"
    assert await space.shell(name, "ls /v", "changed") == ""
    assert await space.shell(name, "ls /v", "created") == ""


async def _change_three(space: Space, kind: str) -> None:
    name, resource = kind.lower(), RESOURCES[kind.rpartition("-")[2]]
    await space.delete(resource, f"deleted-{name}")
    changed = _object(resource, f"changed-{name}", {"data-1": "value-2", "data-3": "value-3"})
    await space.patch(resource, f"changed-{name}", {"data": changed["data"]})
    await space.create(resource, _object(resource, f"created-{name}", {"data-1": "value-1"}))
    await asyncio.gather(
        _wait_file(space, name, "created", "data-1", lambda text: text == "value-1"),
        _wait_file(space, name, "changed", "path/to/data-3", lambda text: text == "value-3"),
        _wait_file(space, name, "deleted", "data-1", lambda text: text == ""),
    )


async def test_optional_objects_come_change_and_go(space: Space) -> None:
    await asyncio.gather(*(_run_three(space, kind) for kind in KINDS))
    await asyncio.gather(*(_change_three(space, kind) for kind in KINDS))


async def test_changed_data_reaches_volumes(space: Space) -> None:
    """Of a ConfigMap, plain and projected."""
    await space.create("configmaps", _object("configmaps", "live", {"data-1": "value-1"}))
    volumes = [_volume(k.lower(), k, "live") for k in ("configMap", "projected-configMap")]
    sleeping = pod_spec()["containers"][0]
    containers = [{**sleeping, **_mounting(v["name"], v["name"])} for v in volumes]
    await space.run(pod("follower", *containers, volumes=volumes), is_ready)
    for volume in volumes:
        assert await space.shell("follower", "cat /v/data-1", volume["name"]) == "value-1"
    await space.patch("configmaps", "live", {"data": {"data-1": "value-2"}})
    await asyncio.gather(
        *(
            _wait_file(space, "follower", v["name"], "data-1", lambda text: text == "value-2")
            for v in volumes
        )
    )


async def test_changed_labels_and_annotations_reach_volumes(space: Space) -> None:
    items = [
        {"path": field, "fieldRef": {"fieldPath": f"metadata.{field}"}}
        for field in ("labels", "annotations")
    ]
    volumes = [
        {"name": "downward", "downwardAPI": {"items": items}},
        {"name": "projected", "projected": {"sources": [{"downwardAPI": {"items": items}}]}},
    ]
    sleeping = pod_spec()["containers"][0]
    containers = [{**sleeping, **_mounting(v["name"], v["name"])} for v in volumes]
    manifest = pod("told", *containers, labels={"key1": "value1"}, volumes=volumes)
    manifest["metadata"]["annotations"] = {"builder": "bar"}
    await space.run(manifest, is_ready)
    for name in ("downward", "projected"):
        assert 'key1="value1"' in await space.shell("told", "cat /v/labels", name)
        assert 'builder="bar"' in await space.shell("told", "cat /v/annotations", name)
    more = {"labels": {"key3": "value3"}, "annotations": {"builder": "foo"}}
    await space.patch("pods", "told", {"metadata": more})
    for name in ("downward", "projected"):
        await _wait_file(space, "told", name, "labels", lambda t: 'key3="value3"' in t)
        await _wait_file(space, "told", name, "annotations", lambda t: 'builder="foo"' in t)


async def test_wrapped_volumes_do_not_conflict(space: Space) -> None:
    """A Secret's and a ConfigMap's volume in one pod, by names that begin alike."""
    for resource in ("secrets", "configmaps"):
        await space.create(resource, _object(resource, "same", {"data-1": "value-1"}))
    volumes = [_volume("wrapped", "secret", "same"), _volume("wrapped-1", "configMap", "same")]
    mounts = [{"name": v["name"], "mountPath": f"/{v['name']}"} for v in volumes]
    sleeping = pod_spec()["containers"][0]
    await space.run(pod("wrapper", {**sleeping, "volumeMounts": mounts}, volumes=volumes), is_ready)
    assert await space.shell("wrapper", "cat /wrapped/data-1 /wrapped-1/data-1") == "value-1" * 2


async def test_many_config_map_volumes_in_many_pods(space: Space) -> None:
    """50 volumes in each of 5 pods on one node: all of them start."""
    names = [f"racey-{number}" for number in range(50)]
    await asyncio.gather(
        *(
            space.create("configmaps", _object("configmaps", name, {"data-1": "value-1"}))
            for name in names
        )
    )
    items = [{"key": "data-1", "path": "data-1"}]
    volumes = [{"name": n, "configMap": {"name": n, "items": items}} for n in names]
    mounts = [{"name": n, "mountPath": f"/etc/config-{i}"} for i, n in enumerate(names)]
    node = {"kubernetes.io/hostname": space.cluster.nodes[0]}
    container = shell("cat /etc/config-*/data-1 >/tmp/all; sleep 1000", volumeMounts=mounts)
    spec = pod_spec(container, volumes=volumes, nodeSelector=node)
    template = {"metadata": {"labels": {"app": "racey"}}, "spec": spec}
    for attempt in range(2):
        name = f"racey-{attempt}"
        controller = {"replicas": 5, "selector": {"app": "racey"}, "template": template}
        await space.create(
            "replicationcontrollers", {"metadata": {"name": name}, "spec": controller}
        )
        await space.wait(
            "replicationcontrollers",
            name,
            lambda rc: rc["status"].get("readyReplicas") == 5,
        )
        pods = await space.listed("pods", label_selector="app=racey")
        for found in pods:
            seen = await space.shell(found["metadata"]["name"], "cat /etc/config-*/data-1")
            assert seen == "value-1" * 50
        await space.delete("replicationcontrollers", name, propagation_policy="Foreground")
