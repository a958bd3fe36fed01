"""CSI: what a volume is to its driver, and what a driver is to its node's objects."""

import hashlib
from pathlib import Path

import pytest

from sagong.api.types import Obj
from sagong.api.volumes import attachment_name
from sagong.node.csi.csi_node import (
    NODE_ID_ANNOTATION,
    TopologyCollision,
    initial_csi_node,
    with_driver,
    with_driver_id,
    without_driver,
    without_driver_id,
)
from sagong.node.csi.driver import NodeInfo, csi_messages
from sagong.node.csi.records import CsiRecord, records_of, remove_record, write_record
from sagong.node.csi.source import (
    CsiSource,
    Lifecycle,
    SecretName,
    capability_of,
    lifecycle_problem,
    owns_by_group,
    source_of_inline,
    source_of_persistent,
)


def source(**fields: object) -> CsiSource:
    given = {"name": "pv", "driver": "d", "handle": "h", "lifecycle": Lifecycle.PERSISTENT}
    return CsiSource(**(given | fields))  # type: ignore[arg-type]


def test_a_persistent_volume() -> None:
    csi = {
        "driver": "d",
        "volumeHandle": "h",
        "fsType": "xfs",
        "readOnly": True,
        "volumeAttributes": {"a": "b"},
        "nodeStageSecretRef": {"name": "s", "namespace": "n"},
    }
    spec = {"csi": csi, "accessModes": ["ReadWriteMany"], "mountOptions": ["noatime"]}
    made = source_of_persistent({"metadata": {"name": "pv"}, "spec": spec}, read_only=False)
    assert made == source(
        fs_type="xfs",
        read_only=True,
        attributes={"a": "b"},
        access_modes=["ReadWriteMany"],
        mount_options=["noatime"],
        stage_secret=SecretName("n", "s"),
    )
    assert made.unique_name == "kubernetes.io/csi/d^h"


def test_an_inline_volume() -> None:
    pod = {"metadata": {"uid": "u", "namespace": "ns", "name": "p"}}
    csi = {"driver": "d", "nodePublishSecretRef": {"name": "s"}}
    made = source_of_inline({"name": "v", "csi": csi}, pod)
    assert made.handle == "csi-" + hashlib.sha256(b"uv").hexdigest()
    assert made.lifecycle is Lifecycle.EPHEMERAL
    assert made.publish_secret == SecretName("ns", "s")


def test_the_name_of_an_attachment() -> None:
    assert attachment_name("h", "d", "n") == "csi-" + hashlib.sha256(b"hdn").hexdigest()


@pytest.mark.parametrize(
    ("modes", "finer", "expected"),
    [
        ((), False, "SINGLE_NODE_WRITER"),
        (("ReadWriteOnce",), True, "SINGLE_NODE_MULTI_WRITER"),
        (("ReadWriteOncePod",), False, "SINGLE_NODE_WRITER"),
        (("ReadWriteOncePod",), True, "SINGLE_NODE_SINGLE_WRITER"),
        (("ReadOnlyMany", "ReadWriteOnce"), True, "MULTI_NODE_READER_ONLY"),
        (("ReadWriteMany",), False, "MULTI_NODE_MULTI_WRITER"),
    ],
)
def test_access_modes(modes: tuple[str, ...], finer: bool, expected: str) -> None:
    made = capability_of(source(access_modes=modes), finer_modes=finer)
    number = csi_messages().enum_number("VolumeCapability.AccessMode.Mode", expected)
    assert made["access_mode"] == {"mode": number}
    assert csi_messages().make("VolumeCapability", **made).HasField("mount")


def test_a_block_volume_has_no_filesystem() -> None:
    made = csi_messages().make(
        "VolumeCapability", **capability_of(source(is_block=True), finer_modes=False)
    )
    assert made.HasField("block")
    assert not made.HasField("mount")


@pytest.mark.parametrize(
    ("fields", "policy", "expected"),
    [
        ({"fs_type": "ext4", "access_modes": ["ReadWriteOnce"]}, "ReadWriteOnceWithFSType", True),
        ({"access_modes": ["ReadWriteOnce"]}, "ReadWriteOnceWithFSType", False),
        ({"fs_type": "ext4", "access_modes": ["ReadWriteMany"]}, "ReadWriteOnceWithFSType", False),
        ({"fs_type": "ext4"}, "None", False),
        ({}, "File", True),
        ({"read_only": True}, "File", False),
        ({"is_block": True}, "File", False),
        ({"fs_type": "ext4", "lifecycle": Lifecycle.EPHEMERAL}, "ReadWriteOnceWithFSType", True),
    ],
)
def test_who_applies_the_group(fields: Obj, policy: str, expected: bool) -> None:
    assert owns_by_group(source(**fields), policy) is expected


def test_lifecycle_modes() -> None:
    inline = source(lifecycle=Lifecycle.EPHEMERAL)
    assert lifecycle_problem(source(), None) == ""
    assert "no CSIDriver object" in lifecycle_problem(inline, None)
    only = {"spec": {"volumeLifecycleModes": ["Persistent"]}}
    assert lifecycle_problem(inline, only) == (
        'volume mode "Ephemeral" not supported by driver d (only supports ["Persistent"])'
    )
    assert lifecycle_problem(inline, {"spec": {"volumeLifecycleModes": ["Ephemeral"]}}) == ""


def test_drivers_of_a_csi_node() -> None:
    node = {"metadata": {"name": "n", "uid": "u"}}
    empty = initial_csi_node(node)
    info = NodeInfo("id", 3, {"zone": "a", "rack": "r"})
    one = with_driver(empty, "d", info)
    assert one["spec"]["drivers"] == [
        {"name": "d", "nodeID": "id", "topologyKeys": ["rack", "zone"], "allocatable": {"count": 3}}
    ]
    two = with_driver(one, "e", NodeInfo("id", 0, {}))
    assert two["spec"]["drivers"][1] == {"name": "e", "nodeID": "id", "topologyKeys": None}
    assert without_driver(two, "e") == one
    assert without_driver(one, "x") is one


def test_a_driver_on_the_node() -> None:
    node = {"metadata": {"name": "n", "labels": {"zone": "a"}, "annotations": {"x": "y"}}}
    changed = with_driver_id(node, "d", NodeInfo("id", 0, {"zone": "a", "rack": "r"}))
    assert changed["metadata"]["labels"] == {"zone": "a", "rack": "r"}
    assert changed["metadata"]["annotations"] == {"x": "y", NODE_ID_ANNOTATION: '{"d":"id"}'}
    back = without_driver_id(changed, "d")
    assert back["metadata"]["annotations"] == {"x": "y"}
    with pytest.raises(TopologyCollision, match='existing label is "zone":"a"'):
        with_driver_id(node, "d", NodeInfo("id", 0, {"zone": "b"}))


def test_records_survive(tmp_path: Path) -> None:
    pod_dir = tmp_path / "pods" / "uid"
    place = pod_dir / "volumes" / "kubernetes.io~csi" / "pv"
    record = CsiRecord("pv", "d", "h", "n", "Persistent", "csi-x", "Filesystem", "/t", "/s")
    write_record(place, record)
    assert list(records_of(pod_dir)) == [(place, record)]
    remove_record(place)
    assert list(records_of(pod_dir)) == []
    assert not place.exists()
