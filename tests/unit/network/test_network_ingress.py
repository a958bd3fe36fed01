"""Given Ingresses and services, exactly these routes; given a site, files that haproxy takes."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sagong.api.ingress import CONTROLLER, certificate_secrets, is_ours
from sagong.network.ingress.config import Ports, Surroundings, plan_files
from sagong.network.ingress.ingresses import Cluster, plan_sites, ready_addresses
from sagong.network.ingress.model import Backend, Choice, Match, Server, Site

Obj = dict[str, Any]


def ingress(name: str = "web", age: str = "1", **spec: Any) -> Obj:
    metadata = {"namespace": "default", "name": name, "creationTimestamp": age}
    return {"metadata": metadata, "spec": spec}


def service(name: str, **spec: Any) -> Obj:
    port = {"name": "http", "port": 80, "targetPort": 8080}
    return {
        "metadata": {"namespace": "default", "name": name},
        "spec": {"clusterIP": "10.96.0.7", "ports": [port], **spec},
    }


def to(service_name: str, **port: Any) -> Obj:
    return {"service": {"name": service_name, "port": port or {"number": 80}}}


def rule(path: str, kind: str, backend: Obj, host: str = "A.example.com") -> Obj:
    return {"host": host, "http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}}


SERVICES = {
    "web": service("web"),
    "outside": service("outside", type="ExternalName", externalName="x.example.com", clusterIP=""),
    "each": service("each", clusterIP="None"),
    "secure": service("secure", ports=[{"port": 80, "appProtocol": "https"}]),
    "grpc": service("grpc", ports=[{"port": 80, "appProtocol": "kubernetes.io/h2c"}]),
}


def site(*ingresses: Obj, pairs: Any = None) -> Site:
    cluster = Cluster(
        lambda namespace, name: SERVICES.get(name),
        lambda service, port: [("10.244.0.3", 8080), ("10.244.0.2", 8080)],
        pairs or {},
    )
    sites = plan_sites(ingresses, cluster, Ports())
    assert sites[80, False].routes == sites[443, True].routes
    return sites[443, True]


@pytest.mark.parametrize(
    ("backend", "servers"),
    [
        (to("web"), [Server("10.96.0.7", 80)]),
        (to("web", name="http"), [Server("10.96.0.7", 80)]),
        (to("web", number=81), []),
        (to("web", name="other"), []),
        (to("none"), []),
        ({"resource": {"kind": "Bucket", "name": "b"}}, []),
        (to("outside", number=8443), [Server("x.example.com", 8443)]),
        (to("each"), [Server("10.244.0.2", 8080), Server("10.244.0.3", 8080)]),
        (to("secure"), [Server("10.96.0.7", 80, tls=True)]),
        (to("grpc"), [Server("10.96.0.7", 80, http2=True)]),
    ],
    ids=str,
)
def test_where_a_backend_leads(backend: Obj, servers: list[Server]) -> None:
    ((found,),) = site(ingress(rules=[rule("/", "Prefix", backend)])).routes.values()
    assert list(found.backend.servers) == servers


@pytest.mark.parametrize(
    ("path", "kind", "match"),
    [
        ("/", "Prefix", Match("a.example.com", "/")),
        ("/a/", "Prefix", Match("a.example.com", "/a")),
        ("/a/", "Exact", Match("a.example.com", "/a/", exact=True)),
        ("/a", "ImplementationSpecific", Match("a.example.com", "/a")),
        ("", "ImplementationSpecific", Match("a.example.com", "/")),
    ],
)
def test_what_a_path_matches(path: str, kind: str, match: Match) -> None:
    assert list(site(ingress(rules=[rule(path, kind, to("web"))])).routes) == [match]


def test_the_older_ingress_has_a_path_that_two_want() -> None:
    first = ingress("b", "1", rules=[rule("/", "Prefix", to("web"))])
    second = ingress("a", "2", rules=[rule("/", "Prefix", to("each"))])
    for order in ((first, second), (second, first)):
        ((choice,),) = site(*order).routes.values()
        assert choice.backend.label == "default.web.80"


def test_a_default_backend_is_of_its_hosts_or_without_rules_of_all() -> None:
    own = ingress("own", rules=[rule("/a", "Prefix", to("web"))], defaultBackend=to("each"))
    whole = ingress("whole", defaultBackend=to("secure"))
    made = site(own, whole)
    assert made.routes[Match("a.example.com")][0].backend.label == "default.each.80"
    assert made.default is not None
    assert made.default.label == "default.secure.80"


def test_certificates_that_could_be_read_are_served_for_their_hosts() -> None:
    tls = [{"hosts": ["b", "a"], "secretName": "pair"}, {"hosts": ["c"], "secretName": "lost"}, {}]
    made = site(
        ingress(tls=tls, rules=[rule("/", "Prefix", to("web"))]),
        pairs={("default", "pair"): b"PEM"},
    )
    assert [(c.name, c.hosts) for c in made.certificates] == [("default_pair", ("a", "b"))]
    assert "PEM" not in repr(made)
    assert list(certificate_secrets(ingress(tls=tls))) == [("default", "pair"), ("default", "lost")]


OURS = {"metadata": {"name": "sagong"}, "spec": {"controller": CONTROLLER}}
THEIRS = {"metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}}


@pytest.mark.parametrize(
    ("spec", "annotations", "classes", "ours"),
    [
        ({"ingressClassName": "sagong"}, {}, [OURS, THEIRS], True),
        ({"ingressClassName": "nginx"}, {}, [OURS, THEIRS], False),
        ({"ingressClassName": "gone"}, {}, [OURS], False),
        ({}, {}, [OURS], True),
        ({}, {}, [OURS, THEIRS], False),
        ({}, {"kubernetes.io/ingress.class": "sagong"}, [OURS, THEIRS], True),
        ({}, {"kubernetes.io/ingress.class": "nginx"}, [OURS], False),
    ],
)
def test_which_ingresses_are_ours(
    spec: Obj, annotations: Obj, classes: list[Obj], ours: bool
) -> None:
    made = ingress(**spec)
    made["metadata"]["annotations"] = annotations
    assert is_ours(made, classes) is ours


def test_ready_addresses_are_those_of_the_port() -> None:
    piece = {
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}, {"name": "other", "port": 9}],
        "endpoints": [
            {"addresses": ["10.244.0.2"], "conditions": {"ready": True}},
            {"addresses": ["10.244.0.3"], "conditions": {"ready": False}},
            {"addresses": ["10.244.0.4"]},
        ],
    }
    other = {**piece, "addressType": "IPv6"}
    found = list(ready_addresses([piece, other], "http"))
    assert found == [("10.244.0.2", 8080), ("10.244.0.4", 8080)]


def test_maps_hold_exact_paths_and_prefixes_of_whole_elements(tmp_path: Path) -> None:
    web = Backend("web", (Server("10.96.0.7", 80),))
    only = (Choice(web),)
    routes = {
        Match("a.example.com", "/a", exact=True): only,
        Match("*.example.com", "/b"): only,
        Match("", "/"): only,
    }
    files = plan_files({(80, False): Site(routes)}, Surroundings(tmp_path, Ports(), ""))
    assert files["exact-80.map"].decode() == f"a.example.com/a {web.name}\n"
    assert files["prefix-80.map"].decode() == f"/ {web.name}\n*.example.com/b/ {web.name}\n"


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")
def test_haproxy_takes_every_kind_of_server(tmp_path: Path) -> None:
    made = site(
        *(
            ingress(name, rules=[rule(f"/{name}", "Prefix", to(name))], defaultBackend=to("web"))
            for name in SERVICES
        ),
        ingress("none", defaultBackend=to("none")),
    )
    where = Surroundings(tmp_path, Ports(18080, 18443), "10.96.0.10:53")
    for name, content in plan_files({(18080, False): made}, where).items():
        (tmp_path / name).write_bytes(content)
    command = ["haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
