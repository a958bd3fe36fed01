"""Given Gateways and HTTPRoutes, exactly these choices; and a proxy that makes them."""

import http.server
import shutil
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from sagong.api.gateway import CONTROLLER
from sagong.network.ingress.config import Ports, Surroundings, plan_files
from sagong.network.ingress.gateways import Gateways, plan_gateways
from sagong.network.ingress.grpc_routes import as_http_route
from sagong.network.ingress.haproxy import Haproxy
from sagong.network.ingress.ingresses import Cluster
from sagong.network.ingress.model import Match, Sites

Obj = dict[str, Any]
CLASS = {"metadata": {"name": "sagong"}, "spec": {"controllerName": CONTROLLER}}
NAMESPACES = {"default": {"team": "a"}, "other": {"team": "b"}}


def gateway(*listeners: Obj, **spec: Any) -> Obj:
    listed = list(listeners) or [{"name": "http", "port": 80, "protocol": "HTTP"}]
    return {
        "metadata": {"namespace": "default", "name": "gw"},
        "spec": {"gatewayClassName": "sagong", "listeners": listed, **spec},
    }


def route(
    *rules: Obj, name: str = "r", namespace: str = "default", age: str = "1", **spec: Any
) -> Obj:
    metadata = {"namespace": namespace, "name": name, "creationTimestamp": age}
    parents = [{"name": "gw", "namespace": "default"}]
    return {"metadata": metadata, "spec": {"parentRefs": parents, "rules": list(rules), **spec}}


def to(service: str, **more: Any) -> Obj:
    return {"name": service, "port": 80, **more}


def plan(*objects: Obj, ports: dict[str, int] | None = None, **more: Any) -> Sites:
    def service(namespace: str, name: str) -> Obj | None:
        port = {"port": 80}
        spec = {"clusterIP": "None" if ports else f"10.96.0.{ord(name[0]) - 96}", "ports": [port]}
        return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}

    def endpoints(found: Obj, port: str) -> list[tuple[str, int]]:
        return [("127.0.0.1", (ports or {})[found["metadata"]["name"]])]

    gateways = [o for o in objects if "listeners" in o["spec"]]
    routes = [o for o in objects if "rules" in o["spec"]]
    calls = more.pop("grpc_routes", ())
    seen = Gateways([CLASS], gateways, routes, more.pop("grants", ()), NAMESPACES, calls)
    return plan_gateways(seen, Cluster(service, endpoints, more.pop("pairs", {})))


def reached(sites: Sites, port: int = 80) -> dict[Match, list[str]]:
    site = sites[port, False]
    return {
        match: [",".join(s.host for s in choice.backend.servers) for choice in choices]
        for match, choices in site.routes.items()
    }


def matched(path: str = "/", kind: str = "PathPrefix", **more: Any) -> Obj:
    return {"path": {"type": kind, "value": path}, **more}


def test_paths_and_hostnames() -> None:
    rules = (
        {"matches": [matched("/a"), matched("/b/", "Exact")], "backendRefs": [to("x")]},
        {"backendRefs": [to("y")]},
    )
    sites = plan(gateway(), route(*rules, hostnames=["A.example", "*.b.example"]))
    assert reached(sites) == {
        Match(host, path, exact): [ip]
        for host in ("a.example", "**.b.example")
        for path, exact, ip in (
            ("/a", False, "10.96.0.24"),
            ("/b/", True, "10.96.0.24"),
            ("/", False, "10.96.0.25"),
        )
    }


@pytest.mark.parametrize(
    ("listener", "hostnames", "hosts"),
    [
        ("", [], [""]),
        ("", ["a.b"], ["a.b"]),
        ("*.b", ["a.b", "b", "a.c"], ["a.b"]),
        ("a.b", ["*.b"], ["a.b"]),
        ("a.b", [], ["a.b"]),
        ("a.b", ["a.c"], []),
    ],
)
def test_listeners_and_routes_meet_at_hostnames(
    listener: str, hostnames: list[str], hosts: list[str]
) -> None:
    made = gateway({"name": "http", "port": 80, "protocol": "HTTP", "hostname": listener})
    sites = plan(made, route({"backendRefs": [to("x")]}, hostnames=hostnames))
    assert [match.host for match in reached(sites)] == hosts


@pytest.mark.parametrize(
    ("namespaces", "taken"),
    [
        (None, False),
        ({"from": "All"}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "b"}}}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}, False),
    ],
)
def test_listeners_choose_namespaces(namespaces: Obj | None, taken: bool) -> None:
    listener: Obj = {"name": "http", "port": 80, "protocol": "HTTP"}
    if namespaces:
        listener["allowedRoutes"] = {"namespaces": namespaces}
    sites = plan(gateway(listener), route({"backendRefs": [to("x")]}, namespace="other"))
    assert bool(reached(sites)) is taken


def test_other_namespaces_services_need_a_grant() -> None:
    across = route({"backendRefs": [to("x", namespace="other")]})
    assert list(reached(plan(gateway(), across)).values()) == [[""]]
    granted = {
        "metadata": {"namespace": "other", "name": "g"},
        "spec": {
            "from": [
                {
                    "group": "gateway.networking.k8s.io",
                    "kind": "HTTPRoute",
                    "namespace": "default",
                }
            ],
            "to": [{"group": "", "kind": "Service"}],
        },
    }
    assert list(reached(plan(gateway(), across, grants=[granted])).values()) == [["10.96.0.24"]]


def test_weights_share_and_none_takes_nothing() -> None:
    refs = [to("x", weight=1000), to("y", weight=10), to("z", weight=0)]
    ((choice,),) = plan(gateway(), route({"backendRefs": refs}))[80, False].routes.values()
    assert [(s.host, s.weight) for s in choice.backend.servers] == [
        ("10.96.0.24", 256),
        ("10.96.0.25", 3),
    ]


def test_more_particular_rules_come_first_and_older_routes_before_younger() -> None:
    header = [{"name": "x", "value": "1"}]
    young = route({"matches": [matched()], "backendRefs": [to("y")]}, name="a", age="2")
    old = route(
        {"matches": [matched()], "backendRefs": [to("o")]},
        {"matches": [matched(headers=header)], "backendRefs": [to("h")]},
        {"matches": [matched(method="GET")], "backendRefs": [to("m")]},
        name="z",
    )
    (hosts,) = reached(plan(gateway(), young, old)).values()
    assert hosts == ["10.96.0.13", "10.96.0.8", "10.96.0.15"]  # method, header, the older


# The proxy itself.


class Echo(http.server.BaseHTTPRequestHandler):
    name = ""

    def do_GET(self) -> None:
        told = [self.name, self.path, self.headers["Host"], self.headers.get("X-Added", "")]
        body = " ".join(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Secret", "1")
        self.end_headers()
        self.wfile.write(body)

    do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: nobody reads it."""


@pytest.fixture
def backends() -> Iterator[dict[str, int]]:
    servers = {
        name: http.server.ThreadingHTTPServer(("127.0.0.1", 0), type(name, (Echo,), {"name": name}))
        for name in "xyz"
    }
    threads = [threading.Thread(target=s.serve_forever, args=(0.05,)) for s in servers.values()]
    for thread in threads:
        thread.start()
    yield {name: server.server_address[1] for name, server in servers.items()}
    for server in servers.values():
        server.shutdown()
        server.server_close()
    for thread in threads:
        thread.join()


class Kept(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


def ask(port: int, path: str, host: str = "a.example", method: str = "GET", **headers: str) -> Any:
    """Status, text and headers of an answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", headers={"Host": host, **named}, method=method
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Kept)
    try:
        with opener.open(request, timeout=5) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, "", error.headers


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")
async def test_the_proxy_chooses_and_changes_as_routes_say(
    tmp_path: Path, backends: dict[str, int]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quoted = 'it\'s "50%" $HOME \\ {x}'
    prefix = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/old/new"}
    rules = (
        {"backendRefs": [to("x")]},
        {
            "matches": [
                matched("/v", headers=[{"name": "X-Want", "value": quoted}]),
                matched("/v", queryParams=[{"name": "q", "value": "y"}], method="DELETE"),
                matched("/v/.*[0-9]", "RegularExpression"),
            ],
            "backendRefs": [to("y")],
            "filters": [
                {
                    "type": "RequestHeaderModifier",
                    "requestHeaderModifier": {"set": [{"name": "X-Added", "value": quoted}]},
                },
                {
                    "type": "ResponseHeaderModifier",
                    "responseHeaderModifier": {"remove": ["x-secret"]},
                },
            ],
        },
        {
            "matches": [matched("/old")],
            "backendRefs": [to("z")],
            "filters": [
                {"type": "URLRewrite", "urlRewrite": {"hostname": "z.example", "path": prefix}}
            ],
        },
        {
            "matches": [matched("/go")],
            "filters": [
                {
                    "type": "RequestRedirect",
                    "requestRedirect": {
                        "scheme": "https",
                        "statusCode": 301,
                        "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/gone"},
                    },
                }
            ],
        },
    )
    made = gateway({"name": "http", "port": port, "protocol": "HTTP"})
    wild = route({"backendRefs": [to("z")]}, hostnames=["*.w.example"], name="wild")
    wanted = [{"name": "X-Want", "value": "y"}]
    deeper = {"matches": [matched(headers=wanted)], "backendRefs": [to("y")]}
    one = route(deeper, hostnames=["a.b.w.example"], name="deeper")
    sites = plan(made, route(*rules, hostnames=["a.example"]), wild, one, ports=backends)
    proxy = Haproxy(tmp_path / "ingress")
    where = Surroundings(tmp_path / "ingress", Ports(address="127.0.0.1"), resolver="")
    try:
        assert await proxy.serve(plan_files(sites, where))
        assert ask(port, "/")[:2] == (200, "x / a.example ")
        assert ask(port, "/v")[1] == "x /v a.example "
        status, text, headers = ask(port, "/v", X_Want=quoted)
        assert (status, text, headers["X-Secret"]) == (200, f"y /v a.example {quoted}", None)
        assert ask(port, "/v?q=y")[1][0] == "x"
        assert ask(port, "/v/w?q=y", method="DELETE")[1][0] == "y"
        assert ask(port, "/v/w7")[1][0] == "y"
        assert ask(port, "/old")[1] == "z /old/new z.example "
        assert ask(port, "/old/a/b?c=d")[1] == "z /old/new/a/b?c=d z.example "
        assert ask(port, "/older")[1][0] == "x"
        status, _, headers = ask(port, "/go/on?x=1")
        assert (status, headers["Location"]) == (301, "https://a.example/gone/on?x=1")
        assert ask(port, "/go")[2]["Location"] == "https://a.example/gone"
        assert ask(port, "/", host="b.example")[0] == 404
        assert ask(port, "/", host="b.w.example")[1][0] == "z"
        assert ask(port, "/", host="a.b.c.w.example")[1][0] == "z"
        assert ask(port, "/", host="a.b.w.example", X_Want="y")[1][0] == "y"
        assert ask(port, "/", host="c.b.w.example", X_Want="y")[1][0] == "z"
        assert ask(port, "/", host="w.example")[0] == 404
    finally:
        await proxy.stop()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ({"service": "s.v1", "method": "Get"}, ("Exact", "/s.v1/Get")),
        ({"service": "s.v1"}, ("PathPrefix", "/s.v1")),
        ({"method": "Get.It"}, ("RegularExpression", r"/[^/]+/Get\.It")),
        ({"type": "RegularExpression", "service": "s.*"}, ("RegularExpression", "/s.*/[^/]+")),
        ({}, ("PathPrefix", "/")),
    ],
)
def test_a_call_is_a_request_for_its_service_and_method(method: Obj, path: tuple[str, str]) -> None:
    (rule,) = as_http_route(route({"matches": [{"method": method}]}))["spec"]["rules"]
    assert rule["matches"][0]["path"] == {"type": path[0], "value": path[1]}


class Named(grpc.GenericRpcHandler):
    """Answers every call with its own name and the call's."""

    def __init__(self, name: str) -> None:
        self.name = name

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        told = f"{self.name} {handler_call_details.method}".encode()

        async def answer(request: bytes, context: Any) -> bytes:
            return told

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")
async def test_calls_reach_the_servers_that_grpc_routes_name(tmp_path: Path) -> None:
    ports, servers = {}, []
    for name in "xy":
        server = grpc.aio.server(handlers=[Named(name)])
        ports[name] = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    rules = (
        {"backendRefs": [to("x")]},
        {"matches": [{"method": {"service": "s", "method": "Get"}}], "backendRefs": [to("y")]},
        {"matches": [{"headers": [{"name": "to", "value": "y"}]}], "backendRefs": [to("y")]},
    )
    made = gateway({"name": "grpc", "port": port, "protocol": "HTTP"})
    calls = route(*rules, hostnames=["a.example"])
    proxy = Haproxy(tmp_path / "ingress")
    where = Surroundings(tmp_path / "ingress", Ports(address="127.0.0.1"), resolver="")
    authority = (("grpc.default_authority", "a.example"),)
    try:
        sites = plan(made, grpc_routes=[calls], ports=ports)
        assert await proxy.serve(plan_files(sites, where))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", authority) as channel:
            for method, metadata, told in (
                ("/s/Get", (), "y /s/Get"),
                ("/s/Put", (), "x /s/Put"),
                ("/t/Put", (("to", "y"),), "y /t/Put"),
            ):
                call = channel.unary_unary(method)
                assert await call(b"", metadata=metadata, timeout=10) == told.encode()
    finally:
        await proxy.stop()
        for server in servers:
            await server.stop(None)
