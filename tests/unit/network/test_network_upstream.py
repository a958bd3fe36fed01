"""Whom the name server asks for names that are not the cluster's, and how much at once."""

import asyncio
import contextlib
import functools
import random
import socket
from pathlib import Path

from dnslib import QTYPE, RR, A, DNSRecord

from sagong.core.clock import SystemClock
from sagong.network.dns.server import FORWARDED_OF_CLIENT_MAX, DnsConfig, DnsServer
from sagong.network.dns.upstream import Upstream
from sagong.network.dns.wire import Question, read_question


class Resolver(asyncio.DatagramProtocol):
    """Answers every name with its own address, or nothing at all."""

    def __init__(self, address: str | None) -> None:
        self.address = address
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.asked += 1
        if self.address is not None:
            query = DNSRecord.parse(data)
            reply = query.reply()
            reply.add_answer(RR(query.q.qname, QTYPE.A, ttl=20, rdata=A(self.address)))
            self.transport.sendto(bytes(reply.pack()), addr)  # type: ignore[attr-defined]


async def resolver(host: str, port: int, address: str | None) -> tuple[Resolver, int]:
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(
        lambda: Resolver(address), local_addr=(host, port)
    )
    return made, transport.get_extra_info("sockname")[1]


def question(name: str) -> tuple[Question, bytes]:
    message = bytes(DNSRecord.question(name).pack())
    read = read_question(message)
    assert read is not None
    return read, message


async def test_the_longest_stub_domain_is_asked(tmp_path: Path) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 127.0.0.1\n")
    _, port = await resolver("127.0.0.1", 0, "192.0.2.1")
    await resolver("127.0.0.2", port, "192.0.2.2")
    await resolver("127.0.0.3", port, "192.0.2.3")
    stubs = {("corp", "example"): ("127.0.0.2",), ("lab", "corp", "example"): ("127.0.0.3",)}
    upstream = Upstream(
        resolv_conf, own_ips=("10.96.0.10",), clock=SystemClock(), port=port, stub_domains=stubs
    )
    for name, address in (
        ("other.example", "192.0.2.1"),
        ("notcorp.example", "192.0.2.1"),
        ("corp.example", "192.0.2.2"),
        ("a.b.CORP.example", "192.0.2.2"),
        ("lab.corp.example", "192.0.2.3"),
        ("x.lab.corp.example", "192.0.2.3"),
    ):
        answer = DNSRecord.parse(await upstream.ask(*question(name)))
        assert str(answer.rr[0].rdata) == address, name


class Nothing:
    """A cache without objects."""

    def get(self, resource: str, namespace: str, name: str) -> None:
        return None

    def list(self, resource: str, namespace: str | None = None) -> tuple[()]:
        return ()

    def owned_by(self, resource: str, owner_uid: str) -> tuple[()]:
        return ()

    def with_index(self, resource: str, index: str, value: str) -> tuple[()]:
        return ()


async def test_a_client_cannot_take_all_the_room_there_is(tmp_path: Path) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 127.0.0.1\n")
    silent, port = await resolver("127.0.0.1", 0, None)
    config = DnsConfig(resolv_conf=resolv_conf, upstream_port=port)
    server = DnsServer(config, Nothing(), clock=SystemClock())
    waiting = [
        asyncio.ensure_future(
            server.forward(*question(f"n{i}.example"), client="10.244.0.2", bytes_max=512)
        )
        for i in range(FORWARDED_OF_CLIENT_MAX)
    ]
    while silent.asked < FORWARDED_OF_CLIENT_MAX:  # noqa: ASYNC110
        await asyncio.sleep(0)
    asked = question("more.example")
    refused = await server.forward(*asked, client="10.244.0.2", bytes_max=512)
    assert DNSRecord.parse(refused).header.rcode == 2
    assert server.may_forward("10.244.0.3")
    silent.address = "192.0.2.9"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    answer = await server.forward(*asked, client="10.244.0.2", bytes_max=512)
    assert str(DNSRecord.parse(answer).rr[0].rdata) == "192.0.2.9"


async def test_garbage_and_idle_clients_do_not_keep_others_from_answers(tmp_path: Path) -> None:
    config = DnsConfig(("127.0.0.1",), port=free_port(), resolv_conf=tmp_path / "none")
    server = DnsServer(config, Nothing(), clock=SystemClock())
    running = asyncio.ensure_future(server.run())
    await server.serving.wait()
    try:
        dice = random.Random(7)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
            for _ in range(2000):
                data = dice.randbytes(dice.randrange(80))
                flood.sendto(data, ("127.0.0.1", config.port))
        idle = [await connected(config.port, f"127.0.0.{2 + i % 2}") for i in range(140)]
        # A question is cut off, a message has no length, and one is no DNS message.
        for (_, writer), data in zip(idle, (b"\0\x20abc", b"\0\0", b"\0\x03abc"), strict=False):
            writer.write(data)
        await asyncio.sleep(0)
        for protocol in ("udp", "tcp"):
            assert await asked_for_version(protocol, config.port) == '"1.1.0"'
    finally:
        running.cancel()
        await asyncio.wait([running])
        for _, writer in idle:
            writer.close()


async def connected(port: int, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


async def asked_for_version(protocol: str, port: int) -> str:
    asked = DNSRecord.question("dns-version.cluster.local", "TXT")
    send = functools.partial(asked.send, "127.0.0.1", port, tcp=protocol == "tcp", timeout=2)
    while True:  # a datagram may be lost where others are many, and then is sent again
        with contextlib.suppress(TimeoutError):
            return str(DNSRecord.parse(await asyncio.to_thread(send)).rr[0].rdata)


def free_port() -> int:
    """Free for both protocols a moment ago."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        ):
            stream.bind(("127.0.0.1", 0))
            port = int(stream.getsockname()[1])
            with contextlib.suppress(OSError):
                datagrams.bind(("127.0.0.1", port))
                return port
