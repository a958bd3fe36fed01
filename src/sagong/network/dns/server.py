"""The cluster's name server on this node: UDP and TCP at the cluster DNS address.

Every node answers for itself from its own cache, so that a name costs no trip to another machine
and goes on resolving while the API server is away.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dnslib import AAAA, CNAME, QTYPE, RR, A, DNSError, DNSRecord

from sagong.api.types import Obj
from sagong.core.clock import Clock
from sagong.core.tasks import Tasks, task_group
from sagong.ctl.controller import Cache
from sagong.network.dns.records import Code, Type, Zone, answer
from sagong.network.dns.upstream import StubDomains, Upstream, UpstreamError
from sagong.network.dns.view import ClusterView
from sagong.network.dns.wire import (
    MESSAGE_BYTES_MAX,
    MalformedError,
    Question,
    Template,
    cut,
    failure,
    read_question,
)

log = logging.getLogger(__name__)

TEMPLATES_MAX = 10_000  # answers kept ready, a few hundred bytes each; past it all are dropped
FORWARDED_MAX = 512  # questions waiting for a resolver at once; past it: server failure
FORWARDED_OF_CLIENT_MAX = 128  # of one address, so that one client cannot take them all
CONNECTIONS_MAX = 256  # by TCP; past it a connection is closed at once
CONNECTIONS_OF_CLIENT_MAX = 64  # of one address, so that one client cannot take them all
CONNECTION_IDLE_SECONDS = 10.0
BIND_RETRY_SECONDS = 5.0  # while another program has the port
CHAIN_MAX = 8  # names that an external name may lead through within the cluster


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """Where the server is, and what it is the authority of."""

    ips: tuple[str, ...] = ("10.96.0.10",)
    domain: str = "cluster.local"
    port: int = 53
    resolv_conf: Path = Path("/etc/resolv.conf")
    upstream_port: int = 53
    stub_domains: StubDomains = field(default_factory=dict)


class DnsServer:
    """Tell it of every change with ``changed`` after the cache has it; ``run`` serves."""

    def __init__(self, config: DnsConfig, cache: Cache, *, clock: Clock) -> None:
        """The addresses must be this machine's when ``run`` is called."""
        self._config = config
        self._zone = Zone(tuple(config.domain.lower().split(".")), config.ips)
        self._view = ClusterView(cache)
        self._templates: dict[bytes, Template] = {}
        self._upstream = Upstream(
            config.resolv_conf,
            own_ips=config.ips,
            clock=clock,
            port=config.upstream_port,
            stub_domains=config.stub_domains,
        )
        self._forwarded: Counter[str] = Counter()  # by the client's address
        self._connections: set[asyncio.StreamWriter] = set()
        self._connected_clients: Counter[str] = Counter()  # by address
        self.serving = asyncio.Event()

    def changed(self, resource: str, old: Obj | None, new: Obj | None) -> None:
        """An object of one of the view's WATCHES was added, changed or removed."""
        self._templates.clear()

    async def run(self) -> None:
        """Serve until cancelled; while the port is taken, say so and try again."""
        async with task_group() as tasks:
            while True:
                try:
                    await self._serve(tasks)
                except OSError as error:
                    log.error("cluster DNS cannot listen: %s", error)
                await asyncio.sleep(BIND_RETRY_SECONDS)

    async def _serve(self, tasks: Tasks) -> None:
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as listening:
            for ip in self._config.ips:
                address = (ip, self._config.port)
                streams = await asyncio.start_server(self._connected, *address)
                listening.callback(streams.close)
                transport, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self, tasks), local_addr=address
                )
                listening.callback(transport.close)
            listening.callback(self._close_connections)
            self.serving.set()
            listening.callback(self.serving.clear)
            log.info("cluster DNS answers on %s", ", ".join(self._config.ips))
            await asyncio.Event().wait()

    def _close_connections(self) -> None:
        for writer in tuple(self._connections):
            writer.close()

    def answer_nowait(self, question: Question, *, bytes_max: int) -> bytes | None:
        """The answer if the cluster alone knows it; None: a resolver must be asked."""
        template = self._templates.get(question.key)
        if template is None:
            known = answer(self._zone, question.name, question.type, self._view)
            if known is None or self._leads_outside(question, known.records):
                return None
            template = Template(question, known, self._zone)
            if len(self._templates) >= TEMPLATES_MAX:
                self._templates.clear()
            self._templates[question.key] = template
        return template.render(question, bytes_max=bytes_max)

    def may_forward(self, client: str) -> bool:
        """Whether there is room for one more question of a client."""
        if self._forwarded[client] >= FORWARDED_OF_CLIENT_MAX:
            return False
        return self._forwarded.total() < FORWARDED_MAX

    async def forward(
        self, question: Question, message: bytes, *, client: str, bytes_max: int
    ) -> bytes:
        """The answer of the machine's resolvers, or a failure."""
        if not self.may_forward(client):
            return failure(message, Code.SERVER_FAILURE)
        self._forwarded[client] += 1
        try:
            if self._zone.has(question.name):
                reply = await self._follow(question, message)
            else:
                reply = await self._upstream.ask(question, message)
        except (UpstreamError, MalformedError, DNSError) as error:
            log.debug("%s: %s", ".".join(question.name), error)
            return failure(message, Code.SERVER_FAILURE)
        finally:
            self._forwarded[client] -= 1
            if not self._forwarded[client]:
                del self._forwarded[client]
        return cut(reply, question, bytes_max=bytes_max)

    def _leads_outside(self, question: Question, records: Any) -> bool:
        """An external name asked for addresses: they are somewhere else."""
        is_alias = bool(records) and records[0].type is Type.CNAME
        return is_alias and question.type in (Type.A, Type.AAAA)

    async def _follow(self, question: Question, message: bytes) -> bytes:
        """An external name with the addresses that it leads to. Raises UpstreamError, DNSError."""
        asked = DNSRecord.parse(message)
        reply = asked.reply(ra=1, aa=1)
        name = question.name
        for _ in range(CHAIN_MAX):
            known = answer(self._zone, name, question.type, self._view)
            if known is None:
                break
            if not self._leads_outside(question, known.records):
                reply.header.rcode = known.code
                for record in known.records:
                    reply.add_answer(
                        RR(
                            ".".join(name),
                            record.type,
                            ttl=record.ttl_seconds,
                            rdata=(AAAA if record.type is Type.AAAA else A)(record.data),
                        )
                    )
                return bytes(reply.pack())
            alias = known.records[0]
            target = alias.data.lower()
            ttl = alias.ttl_seconds
            reply.add_answer(RR(".".join(name), QTYPE.CNAME, ttl=ttl, rdata=CNAME(target)))
            name = tuple(target.split("."))
        else:
            return failure(message, Code.SERVER_FAILURE)
        query = DNSRecord.question(".".join(name), QTYPE[question.type])
        query.header.id = question.id
        packed = bytes(query.pack())
        onward = read_question(packed)
        assert onward is not None
        found = DNSRecord.parse(await self._upstream.ask(onward, packed))
        reply.header.rcode = found.header.rcode
        reply.add_answer(*found.rr)
        return bytes(reply.pack())

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = (writer.get_extra_info("peername") or ("",))[0]
        full = len(self._connections) >= CONNECTIONS_MAX
        if full or self._connected_clients[client] >= CONNECTIONS_OF_CLIENT_MAX:
            writer.close()
            return
        self._connections.add(writer)
        self._connected_clients[client] += 1
        try:
            while True:
                async with asyncio.timeout(CONNECTION_IDLE_SECONDS):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    message = await reader.readexactly(size)
                reply = await self._answer_whole(message, client)
                if reply is None:
                    break
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            log.debug("a client is done or gone: %s", error)
        finally:
            self._connections.discard(writer)
            self._connected_clients[client] -= 1
            if not self._connected_clients[client]:
                del self._connected_clients[client]
            writer.close()

    async def _answer_whole(self, message: bytes, client: str) -> bytes | None:
        try:
            question = read_question(message)
        except MalformedError:
            return None
        if question is None:
            return failure(message, Code.NOT_IMPLEMENTED)
        reply = self.answer_nowait(question, bytes_max=MESSAGE_BYTES_MAX)
        if reply is None:
            reply = await self.forward(
                question, message, client=client, bytes_max=MESSAGE_BYTES_MAX
            )
        return reply


class _Datagrams(asyncio.DatagramProtocol):
    """Answers what the cluster knows at once and lets the rest wait in tasks."""

    def __init__(self, server: DnsServer, tasks: Tasks) -> None:
        self._server = server
        self._tasks = tasks
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        try:
            question = read_question(data)
        except MalformedError:
            return  # answering garbage would make us an amplifier
        if question is None:
            self._transport.sendto(failure(data, Code.NOT_IMPLEMENTED), addr)
            return
        reply = self._server.answer_nowait(question, bytes_max=question.udp_bytes_max)
        if reply is not None:
            self._transport.sendto(reply, addr)
            return
        # A flood must not cost a task a packet.
        if not self._server.may_forward(addr[0]):
            self._transport.sendto(failure(data, Code.SERVER_FAILURE), addr)
            return
        self._tasks.start(self._forward(question, data, addr), name="dns-forward")

    async def _forward(self, question: Question, data: bytes, addr: Any) -> None:
        reply = await self._server.forward(
            question, data, client=addr[0], bytes_max=question.udp_bytes_max
        )
        if not self._transport.is_closing():
            self._transport.sendto(reply, addr)
