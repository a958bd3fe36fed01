"""The machines that the tests of this directory share, one pair a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .machines import Machines, has_ipv6, has_vxlan, why_not


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    yield from _started(tmp_path_factory.mktemp("machines"), ipv6=False)


@pytest.fixture(scope="module")
def dual_machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    if not has_ipv6():
        pytest.skip("this kernel has no IPv6")
    yield from _started(tmp_path_factory.mktemp("machines"), ipv6=True)


@pytest.fixture(scope="module")
def far_machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    if not has_ipv6():
        pytest.skip("this kernel has no IPv6")
    if not has_vxlan():
        pytest.skip("this kernel has no VXLAN devices")
    yield from _started(tmp_path_factory.mktemp("machines"), ipv6=True, far=True)


def _started(directory: Path, *, ipv6: bool, far: bool = False) -> Iterator[Machines]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    machines = Machines(directory, ipv6=ipv6, far=far)
    try:
        for node in machines.nodes:
            node.start()
        for node in machines.nodes:
            machines.put("nodes", node.object())
        machines.sync()
        yield machines
    finally:
        machines.close()
