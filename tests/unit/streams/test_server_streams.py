"""What the API server decides about streams, without I/O."""

import orjson
import pytest

from sagong.api.errors import ApiError, BadRequest
from sagong.api.types import Obj
from sagong.core import spdy
from sagong.server.metrics_api.points import NODE, Point, Usage, parse_points, usage_between
from sagong.server.streams.pods import container_of, node_of
from sagong.server.streams.proxy import split_path
from sagong.server.streams.proxy_rewriting import rewritten_html, rewritten_url
from sagong.server.streams.proxy_targets import (
    Location,
    pod_location,
    service_locations,
    service_port_name,
    split_name,
)
from sagong.server.streams.remote_command import CommandPlan, Wanted

POD: Obj = {
    "metadata": {"name": "p"},
    "spec": {
        "containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": 8080}]}],
        "initContainers": [{"name": "i"}],
    },
    "status": {"podIP": "10.0.0.7"},
}


def test_containers() -> None:
    assert container_of(POD, "b") == "b"
    assert container_of(POD, "i") == "i"
    with pytest.raises(BadRequest, match="container c is not valid for pod p"):
        container_of(POD, "c")
    with pytest.raises(BadRequest) as caught:
        container_of(POD, "")
    assert caught.value.message == (
        "a container name must be specified for pod p, choose one of: [i a b]"
    )
    with pytest.raises(BadRequest, match="pod p does not have a host assigned"):
        node_of(POD)


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("p", Location("10.0.0.7", 8080, False)),
        ("p:81", Location("10.0.0.7", 81, False)),
        ("https:p:443", Location("10.0.0.7", 443, True)),
    ],
)
def test_pod_locations(text: str, location: Location) -> None:
    assert pod_location(split_name(text, "pod"), POD) == location


@pytest.mark.parametrize("text", ["", ":80", "ftp:p:80", "a:b:c:d"])
def test_bad_names(text: str) -> None:
    with pytest.raises(BadRequest, match="invalid pod request"):
        split_name(text, "pod")


def test_loopback_is_not_proxied() -> None:
    with pytest.raises(BadRequest, match="address not allowed"):
        pod_location(split_name("p", "pod"), {**POD, "status": {"podIP": "127.0.0.1"}})


def test_service_locations() -> None:
    service = {"spec": {"ports": [{"port": 80, "name": "web"}]}}
    slices = [
        {
            "ports": [{"name": "web", "port": 8080}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": True}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
            ],
        }
    ]
    named = split_name("s:80", "service")
    name = service_port_name(named, service)
    assert name == "web"
    assert service_locations(named, name, slices) == [Location("10.0.0.1", 8080, False)]
    with pytest.raises(ApiError, match='no service port 81 found for service "s"'):
        service_port_name(split_name("s:81", "service"), service)


def test_paths_through_the_proxy() -> None:
    path = "/api/v1/namespaces/d/pods/p/proxy"
    assert split_path(path, namespaced=True) == (path, "")
    assert split_path(path + "/", namespaced=True) == (path, "/")
    assert split_path(path + "/a%2Fb/", namespaced=True) == (path, "/a%2Fb/")
    assert split_path("/api/v1/nodes/n/proxy/x", namespaced=False)[1] == "/x"
    assert rewritten_url("/a?b#c", prefix=path, host="h") == f"{path}/a?b#c"
    for same in ("a/b", "http://other/x", path + "/x", "//other/x"):
        assert rewritten_url(same, prefix=path, host="h") == same
    assert rewritten_url("http://h/x", prefix=path, host="h") == f"{path}/x"
    page = """<a class=x href="/one" src='/two'>/three</a><p>href="/four"</p><img src=/five>"""
    assert rewritten_html(page, prefix="/P", host="h") == (
        """<a class=x href="/P/one" src='/P/two'>/three</a><p>href="/four"</p><img src=/P/five>"""
    )


class Agent:
    """The other end of a command's SPDY connection."""

    def __init__(self, plan: CommandPlan) -> None:
        self.plan = plan
        self.spdy = spdy.SpdyConnection(is_client=False)
        plan.open()
        self.streams = {
            event.headers["streamtype"]: event.stream_id
            for event in self.received()
            if isinstance(event, spdy.StreamOpened)
        }

    def received(self) -> list[spdy.Event]:
        return self.spdy.receive(self.plan.connection.take_outbound())

    def send(self, stream: str, data: bytes, *, fin: bool = False) -> list[bytes]:
        self.spdy.send(self.streams[stream], data, fin=fin)
        return self.plan.from_agent(self.spdy.take_outbound())


def test_a_command_is_translated() -> None:
    plan = CommandPlan(Wanted(stdin=True, stdout=True, stderr=True, tty=False))
    agent = Agent(plan)
    assert list(agent.streams) == ["error", "stdin", "stdout", "stderr"]
    plan.from_client(b"\x00in")
    plan.from_client(b"\xff\x00")
    plan.from_client(b"\x00after its end")
    stdin = agent.streams["stdin"]
    assert agent.received() == [
        spdy.DataReceived(stdin, b"in"),
        spdy.DataReceived(stdin, b"", fin=True),
    ]
    assert agent.send("stdout", b"out", fin=True) == [b"\x01out"]
    assert agent.send("stderr", b"err", fin=True) == [b"\x02err"]
    assert not plan.is_finished
    assert agent.send("error", b'{"status":"Failure"}', fin=True) == []
    assert plan.is_finished
    assert plan.status() == b'{"status":"Failure"}'


def test_a_terminal_has_sizes_and_no_stderr() -> None:
    plan = CommandPlan(Wanted(stdin=True, stdout=True, stderr=True, tty=True))
    agent = Agent(plan)
    assert list(agent.streams) == ["error", "stdin", "stdout", "resize"]
    plan.from_client(b'\x04{"Width":80,"Height":24}')
    assert agent.received() == [
        spdy.DataReceived(agent.streams["resize"], b'{"Width":80,"Height":24}')
    ]
    agent.send("stdout", b"", fin=True)
    agent.send("error", b"", fin=True)
    assert plan.is_finished
    assert orjson.loads(plan.status())["status"] == "Success"


@pytest.mark.parametrize("message", [b"", b"\xff", b"\xff\x09", b"\x07x", b"\x01x", b"\x03x"])
def test_odd_messages_are_dropped(message: bytes) -> None:
    plan = CommandPlan(Wanted(stdin=False, stdout=True, stderr=False, tty=False))
    agent = Agent(plan)
    plan.from_client(message)
    assert agent.received() == []


def test_usage_between_two_scrapes() -> None:
    text = """# HELP x y
container_cpu_usage_seconds_total{container="c",namespace="n",pod="p"} 1.5 10000
container_memory_working_set_bytes{container="c",namespace="n",pod="p"} 4096 10000
node_cpu_usage_seconds_total 100 10000
node_memory_working_set_bytes 1e+06 10000
container_cpu_usage_seconds_total{container="d",namespace="n",pod="p"} 1 10000
"""
    points = parse_points(text)
    assert points == {
        ("n", "p", "c"): Point(10.0, 1.5, 4096),
        NODE: Point(10.0, 100.0, 1_000_000),
    }
    later = Point(20.0, 2.5, 8192)
    assert usage_between(points["n", "p", "c"], later) == Usage(20.0, 10.0, 100_000_000, 8192)
    assert usage_between(later, Point(30.0, 0.1, 1)) is None
    assert usage_between(later, later) is None
