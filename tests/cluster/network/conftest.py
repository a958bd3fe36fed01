"""The machines that the tests of this directory share, one pair a module."""

from collections.abc import Iterator

import pytest

from .machines import Machines, why_not


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    machines = Machines(tmp_path_factory.mktemp("machines"))
    try:
        for node in machines.nodes:
            node.start()
        for node in machines.nodes:
            machines.put("nodes", node.object())
        machines.sync()
        yield machines
    finally:
        machines.close()
