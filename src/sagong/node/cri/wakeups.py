"""containerd's own event stream, as a reason to look: CRI 1.6 has none.

Only who has ended is taken from it; how is read through the CRI afterwards. The messages are
small enough to be written and read by hand (``containerd.services.events.v1``):
SubscribeRequest{1: filters}, Envelope{1: timestamp, 2: namespace, 3: topic, 4: event}.
"""

from collections.abc import AsyncGenerator

import grpc.aio

from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import translate

_SUBSCRIBE = "/containerd.services.events.v1.Events/Subscribe"
_FILTERS = ('namespace==k8s.io,topic=="/tasks/exit"',)


async def runtime_events(cri: CriClient) -> AsyncGenerator[str, None]:
    """Ids of containers and sandboxes whose process has ended; the first item is "" once
    subscribed. Raises cri.errors when the stream breaks or is not offered."""
    subscribe = cri.channel.unary_stream(_SUBSCRIBE)
    request = b"".join(_field(1, text.encode()) for text in _FILTERS)
    call = subscribe(request)
    try:
        # The server answers the subscription with headers before any event.
        await call.wait_for_connection()
        yield ""
        async for envelope in call:
            if ended := ended_container(envelope):
                yield ended
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


def ended_container(envelope: bytes) -> str:
    """The id of the container whose own process has ended; "" for the end of an exec in one.

    Envelope{4: Any{2: TaskExit{1: container_id, 2: id of the process, ...}}}; a container's own
    process has the container's id.
    """
    task = _fields(_fields(_fields(envelope).get(4, b"")).get(2, b""))
    container, process = task.get(1, b""), task.get(2, b"")
    return container.decode() if container == process else ""


def _fields(message: bytes) -> dict[int, bytes]:
    """The length-delimited fields of a message by number; numbers among them are skipped."""
    found: dict[int, bytes] = {}
    position = 0
    while position < len(message):
        tag, position = _read_varint(message, position)
        value, position = _read_varint(message, position)
        if tag & 7 == 2:
            found[tag >> 3] = message[position : position + value]
            position += value
    return found


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at a position, and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
