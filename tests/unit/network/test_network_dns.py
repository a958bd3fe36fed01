"""The specification's records, name by name; the wire format against dnslib's reading of it."""

from collections.abc import Iterable
from typing import Any

import pytest
from dnslib import EDNS0, QTYPE, RCODE, RR, SOA, A, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from sagong.ctl.indexed import Objects
from sagong.network.agent import WATCHES
from sagong.network.dns.records import TTL_SECONDS, TTL_SECONDS_ENDPOINTS, Type, Zone, answer
from sagong.network.dns.upstream import parse_resolv_conf, parse_stub_domain
from sagong.network.dns.view import ClusterView
from sagong.network.dns.wire import (
    MalformedError,
    Template,
    ageing,
    cut,
    failure,
    is_answer_to,
    read_question,
)

Obj = dict[str, Any]
ZONE = Zone(("cluster", "local"), ("10.96.0.10",))
SLICES = "endpointslices.discovery.k8s.io"


class World:
    """A cache of some objects, as the informer indexes them."""

    def __init__(self) -> None:
        self.resources: dict[str, Objects] = {}
        for watch in WATCHES:
            objects = self.resources.setdefault(watch.resource, Objects())
            for name, index in watch.indexes.items():
                objects.add_index(name, index)

    def get(self, resource: str, namespace: str, name: str) -> Obj | None:
        return self.resources[resource].get(namespace, name)

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Obj]:
        return self.resources[resource].list(namespace)

    def owned_by(self, resource: str, owner_uid: str) -> Iterable[Obj]:
        return ()

    def with_index(self, resource: str, index: str, value: str) -> Iterable[Obj]:
        return self.resources[resource].with_index(index, value)

    def count(self, resource: str, index: str | None = None, value: str = "") -> int:
        objects = self.resources[resource]
        return len(objects) if index is None else objects.count(index, value)

    def service(self, name: str, ip: str, *ports: tuple[str, str, int], **spec: Any) -> None:
        self.resources["services"].put(
            {
                "metadata": {"name": name, "namespace": "shop"},
                "spec": {
                    "clusterIP": ip,
                    "ports": [{"name": n, "protocol": p, "port": i} for n, p, i in ports],
                    **spec,
                },
            }
        )

    def endpoints(
        self, service: str, *endpoints: Obj, ports: tuple[Obj, ...] = (), family: str = "IPv4"
    ) -> None:
        labels = {"kubernetes.io/service-name": service}
        self.resources[SLICES].put(
            {
                "metadata": {"name": f"{service}-{family}", "namespace": "shop", "labels": labels},
                "addressType": family,
                "ports": list(ports),
                "endpoints": list(endpoints),
            }
        )


@pytest.fixture(scope="module")
def view() -> ClusterView:
    world = World()
    world.resources["namespaces"].put({"metadata": {"name": "shop"}})
    world.service("web", "10.96.0.20", ("http", "TCP", 80), ("dns", "UDP", 53))
    world.service("plain", "10.96.0.21", ("", "TCP", 80))
    world.service("db", "None", ("sql", "TCP", 5432))
    world.service("empty", "None", ("sql", "TCP", 5432))
    world.service("portless", "None")
    world.service("both", "10.96.0.30", ("", "TCP", 80), clusterIPs=["10.96.0.30", "fd00:96::30"])
    world.service("twins", "None", ("sql", "TCP", 5432))
    world.service("away", "", type="ExternalName", externalName="Away.Example.")
    world.service("number", "", type="ExternalName", externalName="192.0.2.1")
    sql = {"name": "sql", "protocol": "TCP", "port": 5432}
    world.endpoints(
        "db",
        {"addresses": ["10.244.0.2"], "hostname": "db-0", "conditions": {"ready": True}},
        {"addresses": ["10.244.0.3"], "conditions": {}},
        {"addresses": ["10.244.0.4"], "hostname": "db-2", "conditions": {"ready": False}},
        ports=(sql,),
    )
    twin = {"hostname": "one", "conditions": {"ready": True}}
    world.endpoints("twins", {"addresses": ["10.244.0.5"], **twin}, ports=(sql,))
    world.endpoints("twins", {"addresses": ["fd00::5"], **twin}, ports=(sql,), family="IPv6")
    nameless = {"addresses": ["fd00::6"], "conditions": {"ready": True}}
    world.endpoints("sole", nameless, family="IPv6")
    world.service("sole", "None")
    world.endpoints("portless", {"addresses": ["10.244.0.9"], "conditions": {"ready": True}})
    http = {"name": "http", "protocol": "TCP", "port": 8080}
    pod = {"addresses": ["10.244.0.7"], "hostname": "web-0", "conditions": {"ready": True}}
    world.endpoints("web", pod, ports=(http,))
    return ClusterView(world)


def ask(view: ClusterView, name: str, type_: str = "A") -> tuple[str, list[str]]:
    """Code and records, by way of the wire and dnslib's reading of it."""
    asked = DNSRecord.question(name, type_)
    question = read_question(bytes(asked.pack()))
    assert question is not None
    known = answer(ZONE, question.name, question.type, view)
    if known is None:
        return "NOT OURS", []
    template = Template(question, known, ZONE)
    reply = DNSRecord.parse(template.render(question, bytes_max=65535))
    assert reply.header.id == asked.header.id
    assert str(reply.q.qname) == str(asked.q.qname)
    assert reply.header.aa == 1
    assert [QTYPE[r.rtype] for r in reply.auth] == ([] if reply.rr else ["SOA"])
    return RCODE[reply.header.rcode], [str(r.rdata) for r in reply.rr]


ZONE_NAME = "cluster.local"
TABLE = [
    ("dns-version.cluster.local", "TXT", ['"1.1.0"']),
    ("web.shop.svc.cluster.local", "A", ["10.96.0.20"]),
    ("WEB.Shop.svc.CLUSTER.local", "A", ["10.96.0.20"]),
    ("web.shop.svc.cluster.local", "AAAA", []),
    ("web.shop.svc.cluster.local", "MX", []),
    (
        "web.shop.svc.cluster.local",
        "SRV",
        ["0 50 80 web.shop.svc.cluster.local.", "0 50 53 web.shop.svc.cluster.local."],
    ),
    ("_http._tcp.web.shop.svc.cluster.local", "SRV", ["0 100 80 web.shop.svc.cluster.local."]),
    ("_dns._udp.web.shop.svc.cluster.local", "SRV", ["0 100 53 web.shop.svc.cluster.local."]),
    ("_http._udp.web.shop.svc.cluster.local", "SRV", None),
    ("_none._tcp.web.shop.svc.cluster.local", "SRV", None),
    ("web-0.web.shop.svc.cluster.local", "A", ["10.244.0.7"]),
    ("plain.shop.svc.cluster.local", "SRV", ["0 100 80 plain.shop.svc.cluster.local."]),
    # Of both families.
    ("both.shop.svc.cluster.local", "A", ["10.96.0.30"]),
    ("both.shop.svc.cluster.local", "AAAA", ["fd00:96::30"]),
    ("twins.shop.svc.cluster.local", "A", ["10.244.0.5"]),
    ("one.twins.shop.svc.cluster.local", "AAAA", ["fd00::5"]),
    (
        "_sql._tcp.twins.shop.svc.cluster.local",
        "SRV",
        ["0 100 5432 one.twins.shop.svc.cluster.local."],
    ),
    ("sole.shop.svc.cluster.local", "AAAA", ["fd00::6"]),
    ("fd00--6.sole.shop.svc.cluster.local", "AAAA", ["fd00::6"]),
    ("fd00--77.shop.pod.cluster.local", "AAAA", ["fd00::77"]),
    (
        f"0.3.0.0.{'0.' * 16}0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa",
        "PTR",
        ["both.shop.svc.cluster.local."],
    ),
    # Headless.
    ("db.shop.svc.cluster.local", "A", ["10.244.0.2", "10.244.0.3"]),
    ("db-0.db.shop.svc.cluster.local", "A", ["10.244.0.2"]),
    ("10-244-0-3.db.shop.svc.cluster.local", "A", ["10.244.0.3"]),
    ("db-2.db.shop.svc.cluster.local", "A", None),
    (
        "_sql._tcp.db.shop.svc.cluster.local",
        "SRV",
        [
            "0 50 5432 db-0.db.shop.svc.cluster.local.",
            "0 50 5432 10-244-0-3.db.shop.svc.cluster.local.",
        ],
    ),
    ("empty.shop.svc.cluster.local", "A", None),
    ("portless.shop.svc.cluster.local", "A", ["10.244.0.9"]),
    # External names.
    ("away.shop.svc.cluster.local", "CNAME", ["Away.Example."]),
    ("x.away.shop.svc.cluster.local", "A", None),
    ("number.shop.svc.cluster.local", "A", None),
    # Pods.
    ("10-244-0-2.shop.pod.cluster.local", "A", ["10.244.0.2"]),
    ("10-244-0-2.nowhere.pod.cluster.local", "A", None),
    ("10-244-0-999.shop.pod.cluster.local", "A", None),
    ("a.10-244-0-2.shop.pod.cluster.local", "A", None),
    # Reverse.
    ("20.0.96.10.in-addr.arpa", "PTR", ["web.shop.svc.cluster.local."]),
    ("2.0.244.10.in-addr.arpa", "PTR", ["db-0.db.shop.svc.cluster.local."]),
    ("3.0.244.10.in-addr.arpa", "PTR", ["10-244-0-3.db.shop.svc.cluster.local."]),
    # Names between and above the records exist and have no data.
    ("shop.svc.cluster.local", "A", []),
    ("shop.pod.cluster.local", "A", []),
    ("svc.cluster.local", "A", []),
    ("pod.cluster.local", "A", []),
    ("cluster.local", "A", []),
    ("cluster.local", "NS", ["ns.dns.cluster.local."]),
    ("ns.dns.cluster.local", "A", ["10.96.0.10"]),
    # And these do not.
    ("nowhere.shop.svc.cluster.local", "A", None),
    ("web.nowhere.svc.cluster.local", "A", None),
    ("nowhere.svc.cluster.local", "A", None),
    ("web.shop.other.cluster.local", "A", None),
    # What a search path makes of full names, four times a look-up.
    ("web.shop.svc.cluster.local.shop.svc.cluster.local", "A", None),
    ("web.shop.svc.cluster.local.svc.cluster.local", "A", None),
    ("web.shop.svc.cluster.local.cluster.local", "A", None),
    ("example.com.shop.svc.cluster.local", "A", None),
]


@pytest.mark.parametrize(("name", "type_", "records"), TABLE)
def test_records(view: ClusterView, name: str, type_: str, records: list[str] | None) -> None:
    """None stands for a name that does not exist, an empty list for one without such records."""
    code, found = ask(view, name, type_)
    assert code == ("NXDOMAIN" if records is None else "NOERROR")
    # The order of answers turns from one to the next.
    assert sorted(found) == sorted(records or [])


@pytest.mark.parametrize(
    "name", ["example.com", "local", "9.9.9.10.in-addr.arpa", "1.10.in-addr.arpa", "ip6.arpa", "."]
)
def test_what_is_for_others_to_answer(view: ClusterView, name: str) -> None:
    assert ask(view, name) == ("NOT OURS", [])


def test_times_to_live(view: ClusterView) -> None:
    for name, ttl in (("web", TTL_SECONDS), ("db", TTL_SECONDS_ENDPOINTS)):
        known = answer(ZONE, (name, "shop", "svc", *ZONE.domain), Type.A, view)
        assert known is not None
        assert {r.ttl_seconds for r in known.records} == {ttl}


def test_the_addresses_of_srv_targets_come_along(view: ClusterView) -> None:
    asked = read_question(
        bytes(DNSRecord.question("_sql._tcp.db.shop.svc.cluster.local", "SRV").pack())
    )
    assert asked is not None
    known = answer(ZONE, asked.name, asked.type, view)
    assert known is not None
    reply = DNSRecord.parse(Template(asked, known, ZONE).render(asked, bytes_max=512))
    assert {str(r.rname): str(r.rdata) for r in reply.ar} == {
        "db-0.db.shop.svc.cluster.local.": "10.244.0.2",
        "10-244-0-3.db.shop.svc.cluster.local.": "10.244.0.3",
    }


def test_answers_take_turns_and_keep_the_questions_case(view: ClusterView) -> None:
    asked = read_question(bytes(DNSRecord.question("Db.shop.svc.cluster.local").pack()))
    assert asked is not None
    known = answer(ZONE, asked.name, asked.type, view)
    assert known is not None
    template = Template(asked, known, ZONE)
    replies = [DNSRecord.parse(template.render(asked, bytes_max=512)) for _ in range(4)]
    assert {str(r.rr[0].rdata) for r in replies} == {"10.244.0.2", "10.244.0.3"}
    assert str(replies[0].rr[0].rname) == "Db.shop.svc.cluster.local."


def test_a_long_answer_is_cut_and_says_so(view: ClusterView) -> None:
    world = World()
    world.resources["namespaces"].put({"metadata": {"name": "shop"}})
    world.service("many", "None")
    world.endpoints("many", *({"addresses": [f"10.244.1.{i}"]} for i in range(100)))
    query = DNSRecord.question("many.shop.svc.cluster.local")
    for edns, expected in ((None, 512), (1000, 1000), (9000, 1232), (100, 512)):
        query.ar = [] if edns is None else [EDNS0(udp_len=edns)]
        asked = read_question(bytes(query.pack()))
        assert asked is not None
        assert asked.udp_bytes_max == expected
        known = answer(ZONE, asked.name, asked.type, ClusterView(world))
        assert known is not None
        template = Template(asked, known, ZONE)
        message = template.render(asked, bytes_max=asked.udp_bytes_max)
        reply = DNSRecord.parse(message)
        assert len(message) <= expected
        assert reply.header.tc == 1
        assert len(reply.rr) >= (expected - 80) // 16
        whole = DNSRecord.parse(template.render(asked, bytes_max=65535))
        assert len(whole.rr) == 100
        assert whole.header.tc == 0


@given(st.binary(max_size=64))
def test_any_bytes_are_a_question_or_refused(data: bytes) -> None:
    try:
        question = read_question(data)
    except MalformedError:
        return
    if question is not None:
        assert question.raw in data
    assert len(failure(data, RCODE.SERVFAIL)) >= 12


@given(st.binary(min_size=12, max_size=200))
def test_any_bytes_are_an_answer_or_refused(data: bytes) -> None:
    try:
        kept = ageing(data)
    except MalformedError:
        return
    assert kept is None or kept.ttl_seconds >= 0


@pytest.mark.parametrize(
    "query",
    [
        DNSRecord.question("example.com", "A", "CH"),
        DNSRecord(),
    ],
)
def test_odd_questions_are_none_of_ours(query: DNSRecord) -> None:
    assert read_question(bytes(query.pack())) is None


def test_a_foreign_answer_ages() -> None:
    query = DNSRecord.question("outside.example")
    question = read_question(bytes(query.pack()))
    assert question is not None
    reply = query.reply()
    reply.add_answer(*RR.fromZone("outside.example. 20 A 192.0.2.1"))
    message = bytes(reply.pack())
    assert is_answer_to(message, question)
    kept = ageing(message)
    assert kept is not None
    assert kept.ttl_seconds == 20
    again = read_question(bytes(DNSRecord.question("OUTSIDE.example").pack()))
    assert again is not None
    assert again.key == question.key
    aged = DNSRecord.parse(kept.render(again, age_seconds=5))
    assert aged.header.id == again.id
    assert str(aged.q.qname) == "OUTSIDE.example."
    assert [(r.ttl, str(r.rdata)) for r in aged.rr] == [(15, "192.0.2.1")]


def test_a_foreign_refusal_lasts_as_its_zone_says() -> None:
    reply = DNSRecord.question("no.example").reply()
    reply.header.rcode = RCODE.NXDOMAIN
    assert ageing(bytes(reply.pack())) is None
    reply.add_auth(RR("example", QTYPE.SOA, ttl=60, rdata=SOA("a", "b", (1, 2, 3, 4, 7))))
    kept = ageing(bytes(reply.pack()))
    assert kept is not None
    assert kept.ttl_seconds == 7
    reply.header.rcode = RCODE.SERVFAIL
    assert ageing(bytes(reply.pack())) is None


def test_a_foreign_answer_too_long_for_the_client_is_cut() -> None:
    query = DNSRecord.question("outside.example")
    question = read_question(bytes(query.pack()))
    assert question is not None
    reply = query.reply()
    for i in range(60):
        reply.add_answer(RR("outside.example", QTYPE.A, rdata=A(f"192.0.2.{i}")))
    short = DNSRecord.parse(cut(bytes(reply.pack()), question, bytes_max=512))
    assert short.header.tc == 1
    assert short.rr == []


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nameserver 192.0.2.1\nnameserver 192.0.2.2\n", ("192.0.2.1", "192.0.2.2")),
        ("# nameserver 192.0.2.1\nsearch example\n", ()),
        (
            "nameserver fd00::1\nnameserver 192.0.2.1 # x\nnameserver 192.0.2.1\n",
            ("fd00::1", "192.0.2.1"),
        ),
        ("nameserver 10.96.0.10\nnameserver 192.0.2.1\n", ("192.0.2.1",)),
        ("nameserver\noptions ndots:5\nnameserver nonsense\n", ()),
    ],
)
def test_resolv_conf(text: str, servers: tuple[str, ...]) -> None:
    assert parse_resolv_conf(text, without=("10.96.0.10",)) == servers


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("corp.example=10.1.1.1", (("corp", "example"), ("10.1.1.1",))),
        ("Corp.Example.=10.1.1.1, 10.1.1.2", (("corp", "example"), ("10.1.1.1", "10.1.1.2"))),
        ("corp.example", None),
        ("=10.1.1.1", None),
        ("corp=nowhere", None),
    ],
)
def test_stub_domains(text: str, domain: object) -> None:
    if domain is None:
        with pytest.raises(ValueError):
            parse_stub_domain(text)
    else:
        assert parse_stub_domain(text) == domain
