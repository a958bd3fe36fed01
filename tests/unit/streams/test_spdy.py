"""SPDY framing: any sequence of frames arrives as it was sent, however the bytes are cut."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagong.core import spdy
from sagong.core.spdy import SpdyConnection, SpdyError

texts = st.text(max_size=30)
headers = st.dictionaries(st.text(alphabet="abcdefgh-", min_size=1, max_size=12), texts, max_size=5)
sends = st.lists(
    st.tuples(st.integers(0, 3), st.binary(max_size=100_000), st.booleans()), max_size=12
)


def pair() -> tuple[SpdyConnection, SpdyConnection]:
    return SpdyConnection(is_client=True), SpdyConnection(is_client=False)


def test_the_dictionary_is_the_one_of_the_draft() -> None:
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


@given(opened=st.lists(headers, min_size=1, max_size=4), sent=sends, cut=st.integers(1, 5000))
def test_what_is_sent_arrives_in_order(
    opened: list[dict[str, str]], sent: list[tuple[int, bytes, bool]], cut: int
) -> None:
    client, server = pair()
    ids = [client.open_stream(found) for found in opened]
    expected = dict.fromkeys(ids, b"")
    closed: set[int] = set()
    for index, data, fin in sent:
        stream = ids[index % len(ids)]
        client.send(stream, data, fin=fin)
        if stream not in closed:
            expected[stream] += data
        if fin:
            closed.add(stream)
    wire = client.take_outbound()
    events: list[spdy.Event] = []
    for start in range(0, len(wire), cut):
        events += server.receive(wire[start : start + cut])
    seen = {e.stream_id: e.headers for e in events if isinstance(e, spdy.StreamOpened)}
    assert seen == dict(zip(ids, opened, strict=True))
    got = dict.fromkeys(ids, b"")
    finished: set[int] = set()
    for event in events:
        if isinstance(event, spdy.DataReceived):
            assert event.stream_id not in finished
            got[event.stream_id] += event.data
            if event.fin:
                finished.add(event.stream_id)
    assert got == expected
    assert finished == closed


@given(st.binary(max_size=300))
def test_noise_is_an_error_or_nothing(data: bytes) -> None:
    _, server = pair()
    try:
        server.receive(data)
    except SpdyError:
        return


def test_both_sides_close() -> None:
    client, server = pair()
    stream = client.open_stream({"streamType": "stdin"})
    server.receive(client.take_outbound())
    server.reply(stream, {})
    server.send(stream, b"out", fin=True)
    client.send(stream, b"", fin=True)
    got = client.receive(server.take_outbound())
    assert got == [
        spdy.StreamReplied(stream, {}),
        spdy.DataReceived(stream, b"out", fin=True),
    ]
    server.receive(client.take_outbound())
    assert client.open_streams == server.open_streams == []


def test_a_reset_ends_a_stream_and_drops_what_was_on_its_way() -> None:
    client, server = pair()
    stream = client.open_stream({})
    server.receive(client.take_outbound())
    client.send(stream, b"late")
    server.reset(stream)
    assert client.receive(server.take_outbound()) == [
        spdy.StreamReset(stream, spdy.ResetStatus.CANCEL)
    ]
    assert server.receive(client.take_outbound()) == []


def test_pings_are_answered_and_windows_ignored() -> None:
    client, server = pair()
    ping = client.ping()
    assert server.receive(client.take_outbound()) == []
    window = struct.pack(">IIII", 0x80030009, 8, 1, 65536)
    settings = struct.pack(">III", 0x80030004, 4, 0)
    assert client.receive(window + settings + server.take_outbound()) == [spdy.Ponged(ping)]
    server.go_away(5)
    assert client.receive(server.take_outbound()) == [spdy.GoneAway(5, 0)]


def test_a_frame_is_handed_out_before_it_is_complete() -> None:
    client, server = pair()
    stream = client.open_stream({})
    server.receive(client.take_outbound())
    head = struct.pack(">II", stream, (1 << 24) | 10_000_000)
    assert server.receive(head + b"abc") == [spdy.DataReceived(stream, b"abc")]


@pytest.mark.parametrize(
    "wire",
    [
        struct.pack(">II", 0x80020001, 0),  # version 2
        struct.pack(">II", 0x80030001, 0x00FFFFFF),  # too long
        struct.pack(">II", 0x80030001, 2) + b"ab",  # too short
        struct.pack(">IIIIBB", 0x80030001, 13, 1, 0, 0, 0) + b"bad",  # not zlib
    ],
)
def test_broken_peers_are_refused(wire: bytes) -> None:
    _, server = pair()
    with pytest.raises(SpdyError):
        server.receive(wire)


def test_a_header_bomb_is_refused() -> None:
    packer = zlib.compressobj(zdict=spdy.DICTIONARY)
    block = packer.compress(b"\0" * 10_000_000) + packer.flush(zlib.Z_SYNC_FLUSH)
    body = struct.pack(">IIBB", 1, 0, 0, 0) + block
    _, server = pair()
    with pytest.raises(SpdyError, match="too long"):
        server.receive(struct.pack(">II", 0x80030001, len(body)) + body)
