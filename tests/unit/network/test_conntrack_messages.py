"""Tracked flows as the kernel writes them."""

from sagong.core.netlink import Attributes, attribute, attributes, nested
from sagong.network.proxy.conntrack import Flow, original_of, read_flow

FLOW = Flow("10.0.0.1", 5000, "10.96.0.10", 53, "10.244.1.7", 5353)
HEADER = b"\2\0\0\0"


def reply(protocol: int) -> bytes:
    addresses = nested(1, attribute(1, bytes((10, 244, 1, 7))), attribute(2, bytes((10, 0, 0, 1))))
    ports = attribute(2, (5353).to_bytes(2)), attribute(3, (5000).to_bytes(2))
    return nested(2, addresses, nested(2, attribute(1, bytes([protocol])), *ports))


def test_a_flow_is_read_as_it_is_named() -> None:
    assert read_flow(HEADER + original_of(FLOW) + reply(17)) == FLOW


def test_a_flow_of_ipv6_is_read_as_it_is_named() -> None:
    flow = Flow("fd00::1", 5000, "fd00:96::a", 53, "fd00:244::7", 5353)
    back = Flow(flow.answering, flow.answering_port, flow.source, flow.source_port, "", 0)
    # What comes back is named as what is sent, by another number.
    answered = nested(2, *(attribute(k | 0x8000, v) for k, v in inside(original_of(back)).items()))
    assert read_flow(b"\x0a\0\0\0" + original_of(flow) + answered) == flow


def inside(data: bytes) -> Attributes:
    (only,) = attributes(data).values()
    return attributes(only)


def test_other_protocols_and_cut_off_messages_are_no_flows() -> None:
    assert read_flow(HEADER + original_of(FLOW) + reply(6)) is None
    assert read_flow(HEADER + original_of(FLOW)) is None
    assert read_flow(HEADER) is None
