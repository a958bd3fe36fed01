"""DNS messages as bytes (RFC 1035, 6891). Pure.

Only what a name server of a cluster meets on every packet is here: reading a question, packing an
answer, ageing a foreign one. It builds no objects per record; dnslib, which does, is some thirty
times slower and is used where a foreign answer is taken apart (``upstream.py``).
"""

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from sagong.network.dns.records import Answer, Code, Name, Record, Type, Zone, soa

UDP_BYTES_MAX = 512  # of an answer to a client that has not said that it takes more
UDP_BYTES_EDNS_MAX = 1232  # what we use of what it says: fits every path without fragments
MESSAGE_BYTES_MAX = 65535

_HEADER = struct.Struct("!HHHHHH")
_IN = 1
_OPT = 41
_FLAG_QR, _FLAG_AA, _FLAG_TC, _FLAG_RD, _FLAG_RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE_MASK = 0x7800
_HEADER_BYTES = 12
_LABEL_BYTES_MAX = 63
_NAME_BYTES_MAX = 255

# Serial and refresh say nothing here: there are no secondary servers.
_SOA_TIMES = (1, 7200, 1800, 86400)


class MalformedError(Exception):
    """A message that is no DNS message."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it came."""

    id: int
    name: Name
    type: int
    raw: bytes  # name, type and class as sent: case is given back as it came
    recursion_desired: bool
    udp_bytes_max: int
    edns: bool

    @property
    def key(self) -> bytes:
        """Equal for questions that have the same answer."""
        return self.raw.lower()


def read_question(message: bytes) -> Question | None:
    """The question of a query, or None for what is no plain query of class IN.

    Raises MalformedError for a message that cannot be answered at all.
    """
    if len(message) < _HEADER_BYTES:
        raise MalformedError("shorter than a header")
    id_, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(message)
    if flags & _FLAG_QR:
        raise MalformedError("an answer, not a question")
    if flags & _OPCODE_MASK or questions != 1 or answers or authorities or additionals > 1:
        return None
    labels, end = _read_name(message, _HEADER_BYTES)
    if end + 4 > len(message):
        raise MalformedError("the question is cut off")
    type_, class_ = struct.unpack_from("!HH", message, end)
    end += 4
    if class_ != _IN:
        return None
    udp_bytes_max, edns = UDP_BYTES_MAX, False
    if additionals:
        # An OPT record: the root's name, its type, and the size where a class would be.
        if len(message) < end + 11 or message[end] != 0:
            return None
        kind, size = struct.unpack_from("!HH", message, end + 1)
        if kind != _OPT:
            return None
        edns = True
        udp_bytes_max = max(UDP_BYTES_MAX, min(size, UDP_BYTES_EDNS_MAX))
    raw = message[_HEADER_BYTES:end]
    return Question(id_, labels, type_, raw, bool(flags & _FLAG_RD), udp_bytes_max, edns)


def _read_name(message: bytes, at: int) -> tuple[Name, int]:
    labels: list[str] = []
    start = at
    while True:
        if at >= len(message):
            raise MalformedError("the name is cut off")
        size = message[at]
        at += 1
        if size == 0:
            return tuple(labels), at
        # In a question there is nothing before the name that it could point to.
        if size > _LABEL_BYTES_MAX or at + size - start > _NAME_BYTES_MAX:
            raise MalformedError("the name is too long")
        labels.append(message[at : at + size].decode("latin-1").lower())
        at += size


class Template:
    """An answer with its records ready as bytes; only the question's part differs each time.

    Records of one name and type are rotated from one answer to the next, so that clients that take
    the first address spread over all.
    """

    __slots__ = ("_additional", "_authority", "_code", "_records", "_turn")

    def __init__(self, question: Question, answer: Answer, zone: Zone) -> None:
        self._code = int(answer.code)
        self._records = [_pack(r, question) for r in answer.records]
        self._additional = [_pack(r, question) for r in answer.additional]
        self._authority = [] if answer.records else [_pack(soa(zone), question)]
        self._turn = 0

    def render(self, question: Question, *, bytes_max: int) -> bytes:
        """The message; with the truncation flag and fewer records if it would be too long."""
        records = self._records
        if len(records) > 1:
            turn = self._turn = (self._turn + 1) % len(records)
            records = records[turn:] + records[:turn]
        opt = _OPT_RECORD if question.edns else b""
        size = _HEADER_BYTES + len(question.raw) + len(opt)
        kept, truncated = _fitting(records + self._authority, bytes_max - size)
        size += sum(map(len, kept))
        additional = [] if truncated else _fitting(self._additional, bytes_max - size)[0]
        flags = _FLAG_QR | _FLAG_AA | _FLAG_RA | self._code
        flags |= _FLAG_RD if question.recursion_desired else 0
        flags |= _FLAG_TC if truncated else 0
        answers = min(len(records), len(kept))
        counts = (1, answers, len(kept) - answers, len(additional) + question.edns)
        header = _HEADER.pack(question.id, flags, *counts)
        return b"".join((header, question.raw, *kept, *additional, opt))


_OPT_RECORD = struct.pack("!BHHIH", 0, _OPT, UDP_BYTES_EDNS_MAX, 0, 0)


def _fitting(records: list[bytes], room: int) -> tuple[list[bytes], bool]:
    """The first records that fit, and whether some do not."""
    kept: list[bytes] = []
    for record in records:
        room -= len(record)
        if room < 0:
            return kept, True
        kept.append(record)
    return kept, False


def _pack(record: Record, question: Question) -> bytes:
    # 0xC00C points to the question's name.
    name = b"\xc0\x0c" if record.name == question.name else _pack_name(record.name)
    data = _pack_data(record)
    return name + struct.pack("!HHIH", record.type, _IN, record.ttl_seconds, len(data)) + data


def _pack_data(record: Record) -> bytes:
    if record.type is Type.A:
        return bytes(map(int, record.data.split(".")))
    if record.type is Type.AAAA:
        return ipaddress.IPv6Address(record.data).packed
    if record.type is Type.TXT:
        text = record.data.encode()
        return bytes((len(text),)) + text
    target = tuple(record.data.split("."))
    if record.type is Type.SRV:
        return struct.pack("!HHH", 0, record.weight, record.port) + _pack_name(target)
    if record.type is Type.SOA:
        mailbox = ("hostmaster", *record.name)
        times = struct.pack("!IIIII", *_SOA_TIMES, record.ttl_seconds)
        return _pack_name(target) + _pack_name(mailbox) + times
    return _pack_name(target)


def _pack_name(labels: Name) -> bytes:
    encoded = (label.encode("latin-1") for label in labels)
    return b"".join(bytes((len(label),)) + label for label in encoded) + b"\0"


def failure(message: bytes, code: Code) -> bytes:
    """An answer without records to a message that at least has a header."""
    id_, flags, *_ = _HEADER.unpack_from(message)
    flags = _FLAG_QR | _FLAG_RA | (flags & (_FLAG_RD | _OPCODE_MASK)) | code
    try:
        _, end = _read_name(message, _HEADER_BYTES)
    except MalformedError:
        end = len(message)
    if end + 4 > len(message):
        return _HEADER.pack(id_, flags, 0, 0, 0, 0)
    return _HEADER.pack(id_, flags, 1, 0, 0, 0) + message[_HEADER_BYTES : end + 4]


@dataclass(frozen=True, slots=True)
class Ageing:
    """A foreign answer that may be given again until it is too old."""

    message: bytes
    ttl_offsets: tuple[int, ...]
    ttl_seconds: int  # how long it may be kept

    def render(self, question: Question, *, age_seconds: int) -> bytes:
        """The answer to the same question, its times to live lessened by its age."""
        aged = bytearray(self.message)
        struct.pack_into("!H", aged, 0, question.id)
        aged[_HEADER_BYTES : _HEADER_BYTES + len(question.raw)] = question.raw
        for offset in self.ttl_offsets:
            (ttl,) = struct.unpack_from("!I", aged, offset)
            struct.pack_into("!I", aged, offset, max(0, ttl - age_seconds))
        return bytes(aged)


def ageing(message: bytes) -> Ageing | None:
    """How long an answer may be kept, or None if it may not. Raises MalformedError."""
    _, flags, _, answers, _, _ = _HEADER.unpack_from(message)
    code = flags & 0xF
    if flags & _FLAG_TC or code not in (Code.NO_ERROR, Code.NAME_ERROR):
        return None
    found = [r for r in _records(message) if r.type != _OPT]
    offsets = tuple(r.at for r in found)
    if answers and code == Code.NO_ERROR:
        return Ageing(message, offsets, min(r.ttl_seconds for r in found[:answers]))
    # RFC 2308: a negative answer is kept as long as the zone's SOA says.
    authority = next((r for r in found if r.type == Type.SOA), None)
    if authority is None:
        return None
    (minimum,) = struct.unpack_from("!I", message, authority.end - 4)
    return Ageing(message, offsets, min(authority.ttl_seconds, minimum))


def is_answer_to(message: bytes, question: Question) -> bool:
    """Whether a message answers this very question: same id, name, type and class."""
    if len(message) < _HEADER_BYTES + len(question.raw):
        return False
    id_, flags, questions, *_ = _HEADER.unpack_from(message)
    asked = message[_HEADER_BYTES : _HEADER_BYTES + len(question.raw)]
    same = asked.lower() == question.key
    return bool(flags & _FLAG_QR) and questions == 1 and id_ == question.id and same


def is_truncated(message: bytes) -> bool:
    return bool(message[2] & (_FLAG_TC >> 8))


def cut(message: bytes, question: Question, *, bytes_max: int) -> bytes:
    """The message if it is short enough, or its head, which makes the client ask by TCP."""
    if len(message) <= bytes_max:
        return message
    (flags,) = struct.unpack_from("!H", message, 2)
    return _HEADER.pack(question.id, flags | _FLAG_TC, 1, 0, 0, 0) + question.raw


@dataclass(frozen=True, slots=True)
class _Found:
    type: int
    at: int  # offset of the time to live
    ttl_seconds: int
    end: int


def _records(message: bytes) -> Iterator[_Found]:
    """Every record of a message with one question. Raises MalformedError."""
    _, _, questions, *counts = _HEADER.unpack_from(message)
    at = _HEADER_BYTES
    try:
        for _ in range(questions):
            at = _skip_name(message, at) + 4
        for _ in range(sum(counts)):
            at = _skip_name(message, at)
            type_, _, ttl, size = struct.unpack_from("!HHIH", message, at)
            end = at + 10 + size
            if end > len(message):
                raise MalformedError("a record is cut off")
            yield _Found(type_, at + 4, ttl, end)
            at = end
    except (struct.error, IndexError) as error:
        raise MalformedError("a record is cut off") from error


def _skip_name(message: bytes, at: int) -> int:
    while True:
        size = message[at]
        if size == 0:
            return at + 1
        if size >= 0xC0:
            return at + 2
        at += 1 + size
