"""The built-in provisioner: where it puts volumes, what it makes of a claim, what it refuses."""

import pytest

from sagong.api.types import Obj
from sagong.controllers.storage.local_provisioner import (
    Wanted,
    Work,
    choose_node,
    plan_helper,
    plan_volume,
    refusal,
)

from .test_volumes import claim


def node(name: str, *, ready: bool = True, cordoned: bool = False, **labels: str) -> Obj:
    status = "True" if ready else "Unknown"
    return {
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": f"host-{name}", **labels},
            "annotations": {"sagong.dev/volumes-directory": "/data/volumes"},
        },
        "spec": {"unschedulable": True} if cordoned else {},
        "status": {
            "conditions": [{"type": "Ready", "status": status}],
            "capacity": {"ephemeral-storage": "10Gi"},
        },
    }


def class_(**fields: object) -> Obj:
    return {"metadata": {"name": "local"}, "provisioner": "sagong.dev/local", **fields}


def wanted(asked: Obj, **fields: object) -> Wanted:
    return Wanted(asked, class_(**fields), node("n"))


ZONE_B = [{"matchLabelExpressions": [{"key": "zone", "values": ["b", "c"]}]}]


@pytest.mark.parametrize(
    ("nodes", "taken", "topologies", "expected"),
    [
        ([node("b"), node("a")], {}, None, "a"),
        ([node("b"), node("a")], {"host-a": 2, "host-b": 1}, None, "b"),
        ([node("a", ready=False), node("b", cordoned=True)], {}, None, None),
        ([node("a", zone="a"), node("b", zone="b")], {}, ZONE_B, "b"),
        ([node("a", zone="a")], {}, ZONE_B, None),
        ([node("a", zone="a")], {}, [], "a"),
    ],
)
def test_the_node_of_an_immediate_claim(
    nodes: list[Obj], taken: dict[str, int], topologies: list[Obj] | None, expected: str | None
) -> None:
    found = choose_node(class_(allowedTopologies=topologies), nodes, taken)
    assert (found["metadata"]["name"] if found else None) == expected


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (claim(), ""),
        (claim(accessModes=["ReadWriteOncePod"]), ""),
        (claim(accessModes=["ReadWriteMany", "ReadWriteOnce"]), "not ReadWriteMany"),
        (claim(volumeMode="Block"), "does not support block volume"),
        (claim(dataSource={"kind": "PersistentVolumeClaim", "name": "c"}), "data source"),
        (claim(selector={"matchLabels": {"a": "b"}}), "Selector is not supported"),
        (claim(size="11Gi"), "node n has no room for 11Gi"),
    ],
)
def test_what_is_refused(asked: Obj, text: str) -> None:
    found = refusal(wanted(asked))
    assert text in found
    assert bool(found) is bool(text)


def test_the_volume_of_a_claim() -> None:
    made = plan_volume(wanted(claim(size="2Gi"), reclaimPolicy="Retain"))
    spec = made["spec"]
    assert made["metadata"]["name"] == "pvc-uid-c"
    assert spec["capacity"] == {"storage": "2Gi"}
    assert spec["local"] == {"path": "/data/volumes/pvc-uid-c"}
    assert spec["persistentVolumeReclaimPolicy"] == "Retain"
    assert spec["claimRef"]["uid"] == "uid-c"
    term = spec["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]
    assert term == {"key": "kubernetes.io/hostname", "operator": "In", "values": ["host-n"]}


def test_a_helper_sees_only_the_directory_of_volumes() -> None:
    helper = plan_helper(Work.REMOVE, "pv", "n", "/data/volumes/pv", "image:1")
    assert helper["spec"]["nodeName"] == "n"
    assert helper["spec"]["volumes"][0]["hostPath"]["path"] == "/data/volumes"
    assert helper["spec"]["containers"][0]["command"][-1] == "/volumes/pv"
