"""Pod cgroups over a tree of files, as cgroup v2 and v1 show them."""

from pathlib import Path

import pytest

from sagong.node.pods.cgroups import CgroupTree
from sagong.node.pods.resources import PodLimits

MI = 1 << 20


def unified(mount: Path) -> CgroupTree:
    """Where a kernel makes a directory's files, ours are made beforehand."""
    (mount / "cgroup.controllers").write_text("cpu memory pids cpuset io")
    (mount / "cgroup.subtree_control").write_text("")
    for name in ("k", "k/burstable", "k/besteffort", "k/burstable/podu"):
        directory = mount / name
        directory.mkdir()
        (directory / "cgroup.controllers").write_text("cpu memory pids")
        (directory / "cgroup.subtree_control").write_text("")
        for file in ("cpu.weight", "cpu.max", "memory.max", "memory.current"):
            (directory / file).write_text("0")
    return CgroupTree(mount, "k")


def test_version_two(tmp_path: Path) -> None:
    tree = unified(tmp_path)
    assert tree.is_unified
    tree.prepare()
    tree.create_pod("u", "Burstable", PodLimits(1024, 50_000, 64 * MI))
    pod = tmp_path / "k/burstable/podu"
    assert (pod / "cpu.weight").read_text() == "39"
    assert (pod / "cpu.max").read_text() == "50000 100000"
    assert (pod / "memory.max").read_text() == str(64 * MI)
    # A group has only what its parent hands down.
    handed = (tmp_path / "k/burstable/cgroup.subtree_control").read_text()
    assert {word.lstrip("+") for word in handed.split()} == {"cpu", "memory", "pids"}
    assert tree.pods() == {"u"}
    (pod / "c1").mkdir()
    (pod / "c1/memory.current").write_text(str(7 * MI))
    assert tree.memory_used("u", "Burstable", "c1") == 7 * MI
    assert tree.memory_used("u", "Burstable", "gone") is None


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262144, 10000)])
def test_shares_become_weights(tmp_path: Path, shares: int, weight: int) -> None:
    tree = unified(tmp_path)
    tree.create_pod("u", "Burstable", PodLimits(shares, None, None))
    assert (tmp_path / "k/burstable/podu/cpu.weight").read_text() == str(weight)


def test_version_one(tmp_path: Path) -> None:
    for controller, files in (
        ("cpu", ("cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us")),
        ("memory", ("memory.limit_in_bytes",)),
    ):
        directory = tmp_path / controller / "k" / "podu"
        directory.mkdir(parents=True)
        for file in files:
            (directory / file).write_text("0")
    tree = CgroupTree(tmp_path, "k")
    assert not tree.is_unified
    tree.create_pod("u", "Guaranteed", PodLimits(2048, 200_000, MI))
    cpu, memory = tmp_path / "cpu/k/podu", tmp_path / "memory/k/podu"
    assert (cpu / "cpu.shares").read_text() == "2048"
    assert (cpu / "cpu.cfs_quota_us").read_text() == "200000"
    assert (memory / "memory.limit_in_bytes").read_text() == str(MI)
