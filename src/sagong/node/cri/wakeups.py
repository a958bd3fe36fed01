"""containerd's own event stream, as a reason to look: CRI 1.6 has none.

Only the topics are used; what happened is read through the CRI afterwards. The two messages are
small enough to be written and read by hand (``containerd.services.events.v1``):
SubscribeRequest{1: filters}, Envelope{1: timestamp, 2: namespace, 3: topic, 4: event}.
"""

from collections.abc import AsyncGenerator

import grpc.aio

from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import translate

_SUBSCRIBE = "/containerd.services.events.v1.Events/Subscribe"
_FILTERS = ('namespace==k8s.io,topic~="^/tasks/(start|exit|oom|delete)"',)
# An exec's exit is an event too, and tells nothing about containers.
_TOPIC_FIELD = 3


async def runtime_events(cri: CriClient) -> AsyncGenerator[str, None]:
    """Topics, as they come; the first item is "" once subscribed. Raises cri.errors when the
    stream breaks or is not offered."""
    subscribe = cri.channel.unary_stream(_SUBSCRIBE)
    request = b"".join(_field(1, text.encode()) for text in _FILTERS)
    call = subscribe(request)
    try:
        # The server answers the subscription with headers before any event.
        await call.wait_for_connection()
        yield ""
        async for envelope in call:
            yield topic_of(envelope)
    except grpc.aio.AioRpcError as error:
        raise translate(error) from error
    finally:
        call.cancel()


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def topic_of(envelope: bytes) -> str:
    """The topic of an encoded Envelope, all of whose fields are length-delimited."""
    position = 0
    while position < len(envelope):
        number, position = envelope[position] >> 3, position + 1
        length, shift = 0, 0
        while True:
            byte = envelope[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if number == _TOPIC_FIELD:
            return envelope[position : position + length].decode()
        position += length
    return ""
