"""Asking the kernel over netlink: messages and their attributes as bytes (pure), and a socket.

    a message      u32 length, u16 type, u16 flags, u32 sequence, u32 port; payload, to 4 bytes
    an attribute   u16 length, u16 type; value, to 4 bytes

The numbers are those of ``linux/netlink.h``. Only what routes, addresses and connection tracking
need is here: a few requests a minute, for which a library would be 9 MB of every agent's memory.
"""

import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

ROUTE, NETFILTER = 0, 12  # the families of sockets

REQUEST, ACK, ROOT, MATCH = 0x1, 0x4, 0x100, 0x200
DUMP = ROOT | MATCH
REPLACE, EXCLUSIVE, CREATE = 0x100, 0x200, 0x400
_INTERRUPTED = 0x10  # what a dump shows changed meanwhile

_NOTHING, _ERROR, _DONE = 1, 2, 3
_NESTED, _TYPE_MASK = 0x8000, 0x3FFF

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_CODE = struct.Struct("=i")

_RECEIVE_BYTES = 1 << 18  # the kernel sends at most 32 KiB at once
_DUMPS_MAX = 5  # of a table that changes all the time; past it the last one must do
_ANSWER_SECONDS_MAX = 10

Attributes = Mapping[int, bytes]


class NetlinkError(OSError):
    """The kernel refused a request; ``errno`` says why."""


def attribute(number: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, number) + value + bytes(-length % 4)


def nested(number: int, *attributes: bytes) -> bytes:
    return attribute(number | _NESTED, b"".join(attributes))


def attributes(data: bytes) -> Attributes:
    """By their numbers; of several with one number the last. What is cut off is left out."""
    found: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, number = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        found[number & _TYPE_MASK] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + -length % 4
    return found


def message(number: int, flags: int, sequence: int, payload: bytes) -> bytes:
    length = _HEADER.size + len(payload)
    return _HEADER.pack(length, number, flags, sequence, 0) + payload + bytes(-length % 4)


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, flags, sequence, payload) of each message of a datagram."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, number, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            break
        yield number, flags, sequence, data[offset + _HEADER.size : offset + length]
        offset += length + -length % 4


class Netlink:
    """A socket of one family, in the network namespace that this process is in."""

    def __init__(self, family: int) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family
        )
        self._socket.settimeout(_ANSWER_SECONDS_MAX)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._socket.close()

    def change(self, number: int, payload: bytes, flags: int = 0) -> None:
        """Ask for a change. Raises NetlinkError."""
        self._ask(number, REQUEST | ACK | flags, payload)

    def get(self, number: int, payload: bytes) -> bytes:
        """The payload of the one answer. Raises NetlinkError."""
        answers, _ = self._ask(number, REQUEST | ACK, payload)
        return answers[0]

    def dump(self, number: int, payload: bytes) -> Sequence[bytes]:
        """The payloads of all that there is. Raises NetlinkError."""
        for _ in range(_DUMPS_MAX):
            answers, complete = self._ask(number, REQUEST | DUMP, payload)
            if complete:
                break
        return answers

    def _ask(self, number: int, flags: int, payload: bytes) -> tuple[list[bytes], bool]:
        """Payloads of the answers, and whether nothing changed while they were collected."""
        self._sequence += 1
        self._socket.send(message(number, flags, self._sequence, payload))
        answers: list[bytes] = []
        complete = True
        while True:
            for kind, told, sequence, data in messages(self._socket.recv(_RECEIVE_BYTES)):
                if sequence != self._sequence:
                    continue  # the end of a request that was given up
                complete = complete and not told & _INTERRUPTED
                if kind in (_ERROR, _DONE):
                    # Both begin with a code: 0, or the negative number of an error.
                    code = -_CODE.unpack_from(data)[0] if len(data) >= _CODE.size else 0
                    if code:
                        raise NetlinkError(code, os.strerror(code))
                    return answers, complete
                if kind != _NOTHING:
                    answers.append(data)
