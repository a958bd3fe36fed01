"""Volumes on a node, as far as they are decided without one."""

import os
import socket
import stat
from pathlib import Path

import pytest

from sagong.api.types import Obj
from sagong.node.plugins.registry import find_sockets
from sagong.node.pods.container_mounts import recursive_read_only
from sagong.node.pods.failures import ConfigFailure
from sagong.node.volumes.expansion import is_wanted
from sagong.node.volumes.image_volume import Runtime
from sagong.node.volumes.ownership import own_by_group
from sagong.node.volumes.payload import PayloadFile, write_payload
from sagong.node.volumes.persistent_claim import Claimed


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("containerd", "v1.6.20~ds1", False),
        ("containerd", "v2.0.5", False),
        ("containerd", "v2.1.0", True),
        ("cri-o", "1.31.1", True),
        ("cri-o", "1.30.9", False),
        ("other", "9.9", False),
    ],
)
def test_runtimes_that_mount_images(name: str, version: str, expected: bool) -> None:
    assert Runtime(name, version, "unix:///x").mounts_images is expected


@pytest.mark.parametrize(
    ("mount", "is_supported", "expected"),
    [
        ({}, True, False),
        ({"recursiveReadOnly": "Disabled"}, True, False),
        ({"recursiveReadOnly": "IfPossible", "readOnly": True}, True, True),
        ({"recursiveReadOnly": "IfPossible", "readOnly": True}, False, False),
        ({"recursiveReadOnly": "Enabled", "readOnly": True}, True, True),
        ({"recursiveReadOnly": "Enabled", "readOnly": True}, False, "supported by the runtime"),
        ({"recursiveReadOnly": "Enabled"}, True, "is not read-only"),
        (
            {
                "recursiveReadOnly": "Enabled",
                "readOnly": True,
                "mountPropagation": "HostToContainer",
            },
            True,
            'compatible with propagation "HostToContainer"',
        ),
    ],
)
def test_recursive_read_only(mount: Obj, is_supported: bool, expected: bool | str) -> None:
    given = {"name": "v", **mount}
    if isinstance(expected, str):
        with pytest.raises(ConfigFailure, match=expected):
            recursive_read_only(given, is_supported=is_supported)
        return
    assert recursive_read_only(given, is_supported=is_supported) is expected


@pytest.mark.parametrize(
    ("status", "volume", "read_only", "expected"),
    [
        ({"capacity": {"storage": "1Gi"}}, "2Gi", False, True),
        ({"capacity": {"storage": "2Gi"}}, "2Gi", False, False),
        ({"capacity": {"storage": "1Gi"}}, "2Gi", True, False),
        ({}, "2Gi", False, False),
        (
            {
                "capacity": {"storage": "1Gi"},
                "allocatedResourceStatuses": {"storage": "NodeResizeInfeasible"},
            },
            "2Gi",
            False,
            False,
        ),
    ],
)
def test_when_a_volume_is_to_grow(
    status: Obj, volume: str, read_only: bool, expected: bool
) -> None:
    persistent = {"metadata": {"name": "pv"}, "spec": {"capacity": {"storage": volume}}}
    assert is_wanted(Claimed({"status": status}, persistent, read_only)) is expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_group_of_a_tree(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o600)
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "file").write_text("")
    (root / "deep" / "file").chmod(0o600)
    (root / "link").symlink_to(outside)
    own_by_group(root, 4000)
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in (root, root / "deep")}
    assert modes == {root: 0o2775, root / "deep": 0o2775}
    found = (root / "deep" / "file").stat()
    assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (4000, 0o660)
    assert (root / "link").lstat().st_gid == 4000
    assert (outside.stat().st_gid, stat.S_IMODE(outside.stat().st_mode)) == (0, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_of_objects_belong_to_the_group(tmp_path: Path) -> None:
    directory = tmp_path / "v"
    write_payload(directory, {"a/b": PayloadFile(b"x", 0o400)}, now=0.0, group=4000)
    found = (directory / "a" / "b").stat()
    assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (4000, 0o440)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o2777
    assert os.readlink(directory / "a") == "..data/a"


def test_sockets_of_plugins(tmp_path: Path) -> None:
    """Also below directories; hidden ones and other files are none."""
    (tmp_path / "deep").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "file").write_text("")
    places = ("a.sock", "deep/b.sock", ".c.sock", ".hidden/d.sock")
    before = Path.cwd()
    os.chdir(tmp_path)  # a socket's path may have 107 bytes at most
    try:
        for place in places:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(place)
    finally:
        os.chdir(before)
    assert set(find_sockets(tmp_path)) == {tmp_path / "a.sock", tmp_path / "deep/b.sock"}
