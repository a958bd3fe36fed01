"""Choosing devices: tables."""

import pytest

from sagong.node.devices.choice import DeviceShortage, choose, free_devices


def test_what_an_init_container_had_comes_first_then_what_is_preferred() -> None:
    free = free_devices(["a", "b", "c", "d"], ["a"])
    assert list(free) == ["b", "c", "d"]
    assert list(choose("r", 1, free=free, reused=["a"])) == ["a"]
    assert list(choose("r", 2, free=free, reused=["a"], preferred=["d", "x"])) == ["a", "d"]
    assert list(choose("r", 3, free=free, reused=[])) == ["b", "c", "d"]


def test_a_shortage_is_told_in_upstreams_words() -> None:
    with pytest.raises(DeviceShortage) as failure:
        choose("example.com/w", 2, free=["b"], reused=[])
    assert str(failure.value) == (
        "requested number of devices unavailable for example.com/w. Requested: 2, Available: 1"
    )
