"""Netlink messages as bytes; and the kernel, asked for what every machine has."""

import errno

import pytest

from sagong.core.netlink import (
    REQUEST,
    ROUTE,
    Netlink,
    NetlinkError,
    attribute,
    attributes,
    message,
    messages,
    nested,
)
from sagong.network.routes.links import LinkAddress, Links, index_of


def test_attributes_are_aligned_and_read_back() -> None:
    data = attribute(1, b"abc") + attribute(2, b"") + nested(3, attribute(4, b"12345678"))
    assert len(data) % 4 == 0
    found = attributes(data)
    assert found[1] == b"abc"
    assert found[2] == b""
    assert attributes(found[3]) == {4: b"12345678"}


@pytest.mark.parametrize("cut", [b"\1", b"\0\0\0\0", b"\3\0\1\0", b"\xff\xff\1\0abc"])
def test_attributes_that_are_cut_off_end_the_reading(cut: bytes) -> None:
    assert attributes(attribute(7, b"kept") + cut)[7] == b"kept"


def test_messages_of_one_datagram() -> None:
    data = message(20, REQUEST, 5, b"one") + message(3, 2, 6, b"")
    assert list(messages(data)) == [(20, REQUEST, 5, b"one"), (3, 2, 6, b"")]
    assert list(messages(data + b"\0" * 16)) == list(messages(data))


def test_the_loopback_device_is_found() -> None:
    loopback = index_of("lo")
    assert loopback is not None
    assert index_of("no-such-device") is None
    with Links() as links:
        assert not any(links.hardware_address(loopback))
        assert LinkAddress(loopback, "127.0.0.1", 8, "lo") in set(links.addresses())
        assert all("/" in route.destination for route in links.routes())


def test_what_the_kernel_refuses_is_an_error() -> None:
    with Links() as links, pytest.raises(NetlinkError) as refused:
        links.hardware_address(2**31 - 1)
    assert refused.value.errno == errno.ENODEV
    with Netlink(ROUTE) as netlink, pytest.raises(NetlinkError):
        netlink.change(9999, b"")
