"""Asking the resolvers of the machine for names that are not the cluster's.

A resolver that does not answer is left alone for a while, so that a machine without a network says
"server failure" at once and does not let every lookup wait.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from sagong.core.clock import Clock
from sagong.network.dns.records import Name
from sagong.network.dns.wire import (
    Ageing,
    MalformedError,
    Question,
    ageing,
    is_answer_to,
    is_truncated,
)

log = logging.getLogger(__name__)

PORT = 53
ATTEMPT_SECONDS = 1.5  # two of them are within the five seconds that clients wait
ATTEMPTS = 2
DOWN_SECONDS = 5.0  # a resolver that did not answer is asked again after so long
REREAD_SECONDS = 5.0  # how soon a change of resolv.conf is seen
CACHE_SECONDS_MAX = 30  # as the cluster DNS of kubeadm is set up
CACHE_ENTRIES_MAX = 10_000  # about 3 MB; past it the oldest entry goes
RESOLVERS_MAX = 3  # as the C library takes
# The list behind systemd-resolved, whose own address answers on the host alone.
SYSTEMD_RESOLV_CONF = Path("/run/systemd/resolve/resolv.conf")


# Name servers of domains that the machine's resolvers do not know, as of a company's own network.
StubDomains = Mapping[Name, tuple[str, ...]]


class UpstreamError(Exception):
    """No resolver answered."""


def parse_resolv_conf(text: str, *, without: Iterable[str] = ()) -> tuple[str, ...]:
    """The resolvers of a resolv.conf(5), in order, less some."""
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            found.append(str(ipaddress.ip_address(words[1])))
        except ValueError:
            continue
    return tuple(ip for ip in dict.fromkeys(found) if ip not in set(without))[:RESOLVERS_MAX]


def parse_stub_domain(text: str) -> tuple[Name, tuple[str, ...]]:
    """``corp.example=10.1.1.1,10.1.1.2``. Raises ValueError."""
    domain, equals, servers = text.partition("=")
    name = tuple(domain.strip(".").lower().split("."))
    addresses = tuple(str(ipaddress.ip_address(s.strip())) for s in servers.split(","))
    if not equals or not all(name):
        raise ValueError(f"{text!r} is not DOMAIN=ADDRESS[,ADDRESS]")
    return name, addresses


class Upstream:
    """The machine's resolvers, and those of stub domains, with a small cache."""

    def __init__(
        self,
        resolv_conf: Path,
        *,
        own_ips: Collection[str],
        clock: Clock,
        port: int = PORT,
        stub_domains: StubDomains | None = None,
    ) -> None:
        """``own_ips`` are never asked: that would be a loop."""
        self._stub_domains = stub_domains or {}
        self._resolv_conf = resolv_conf
        self._own_ips = own_ips
        self._clock = clock
        self._port = port
        self._servers: tuple[str, ...] = ()
        self._read_at = -REREAD_SECONDS
        self._down_until: dict[str, float] = {}
        self._cache: dict[bytes, tuple[float, Ageing]] = {}

    async def ask(self, question: Question, message: bytes) -> bytes:
        """The answer to a question, whole. Raises UpstreamError."""
        cached = self._cached(question)
        if cached is not None:
            return cached
        for _ in range(ATTEMPTS):
            for server in self._servers_of(question.name):
                answer = await self._attempt(server, question, message)
                if answer is not None:
                    self._keep(question, answer)
                    return answer
        raise UpstreamError("no resolver answers")

    def _servers_of(self, name: Name) -> tuple[str, ...]:
        """Of the longest stub domain that has the name, or the machine's own; those that live."""
        for start in range(len(name) if self._stub_domains else 0):
            if (servers := self._stub_domains.get(name[start:])) is not None:
                return self._live(servers)
        return self._live(self._own_servers())

    def _live(self, servers: Iterable[str]) -> tuple[str, ...]:
        now = self._clock.monotonic()
        return tuple(s for s in servers if self._down_until.get(s, now) <= now)

    def _own_servers(self) -> tuple[str, ...]:
        now = self._clock.monotonic()
        if now - self._read_at >= REREAD_SECONDS:
            self._read_at = now
            self._servers = self._read_servers()
        return self._servers

    def _read_servers(self) -> tuple[str, ...]:
        servers: tuple[str, ...] = ()
        for path in (self._resolv_conf, SYSTEMD_RESOLV_CONF):
            try:
                servers = parse_resolv_conf(path.read_text(), without=self._own_ips)
            except OSError:
                continue
            if any(not ipaddress.IPv4Address(s).is_loopback for s in servers):
                return servers
        return servers

    async def _attempt(self, server: str, question: Question, message: bytes) -> bytes | None:
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                answer = await self._ask_udp(server, question, message)
                if is_truncated(answer):
                    answer = await self._ask_tcp(server, question, message)
        except TimeoutError:
            # A lost packet is no reason yet: it is so only when the next attempt is lost too.
            known = self._down_until.get(server)
            self._down_until[server] = self._clock.monotonic() + (DOWN_SECONDS if known else 0.0)
            return None
        except (OSError, MalformedError, asyncio.IncompleteReadError) as error:
            log.debug("resolver %s: %s", server, error)
            self._down_until[server] = self._clock.monotonic() + DOWN_SECONDS
            return None
        self._down_until.pop(server, None)
        return answer

    async def _ask_udp(self, server: str, question: Question, message: bytes) -> bytes:
        # A socket for each question: a forger would have to guess its port as well as the id.
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: _OneAnswer(question), remote_addr=(server, self._port)
        )
        try:
            transport.sendto(message)
            return await protocol.answer
        finally:
            transport.close()

    async def _ask_tcp(self, server: str, question: Question, message: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(server, self._port)
        try:
            writer.write(len(message).to_bytes(2, "big") + message)
            await writer.drain()
            size = int.from_bytes(await reader.readexactly(2), "big")
            answer = await reader.readexactly(size)
        finally:
            writer.close()
        if not is_answer_to(answer, question):
            raise MalformedError("an answer to another question")
        return answer

    def _cached(self, question: Question) -> bytes | None:
        entry = self._cache.get(question.key)
        if entry is None:
            return None
        kept_at, answer = entry
        age = self._clock.monotonic() - kept_at
        if age >= min(answer.ttl_seconds, CACHE_SECONDS_MAX):
            del self._cache[question.key]
            return None
        return answer.render(question, age_seconds=int(age))

    def _keep(self, question: Question, message: bytes) -> None:
        try:
            answer = ageing(message)
        except MalformedError:
            return
        # With EDNS in the question the answer has an option record that others must not get.
        if answer is None or answer.ttl_seconds == 0 or question.edns:
            return
        while len(self._cache) >= CACHE_ENTRIES_MAX:
            del self._cache[next(iter(self._cache))]
        self._cache[question.key] = (self._clock.monotonic(), answer)


class _OneAnswer(asyncio.DatagramProtocol):
    """Waits for the answer to one question; anything else that arrives is not for us."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.answer.done() and is_answer_to(data, self._question):
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)
