"""What is said of Gateways and HTTPRoutes, and what is left alone."""

from collections.abc import Iterable
from typing import Any

import pytest

from sagong.api import gateway as api
from sagong.api.types import Obj
from sagong.controllers.networking.gateway import conditions, plan_gateway, plan_route


class Kept:
    """A cache of given objects."""

    def __init__(self, **objects: list[Obj]) -> None:
        self.objects = {
            api.CLASSES: [
                {"metadata": {"name": "sagong"}, "spec": {"controllerName": api.CONTROLLER}},
                {"metadata": {"name": "theirs"}, "spec": {"controllerName": "x/y"}},
            ],
            "nodes": [],
            "namespaces": [],
            "services": [{"metadata": {"namespace": "default", "name": "web"}}],
            api.GATEWAYS: [gateway()],
            api.ROUTES: [],
            api.GRPC_ROUTES: [],
            api.GRANTS: [],
            **objects,
        }

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Obj]:
        return self.objects[resource]

    def get(self, resource: str, namespace: str, name: str) -> Obj | None:
        return next((o for o in self.list(resource) if o["metadata"]["name"] == name), None)

    def owned_by(self, resource: str, owner_uid: str) -> Iterable[Obj]:
        return ()

    def with_index(self, resource: str, index: str, value: str) -> Iterable[Obj]:
        return ()

    def count(self, resource: str, index: str | None = None, value: str = "") -> int:
        return len(self.objects[resource]) if index is None else 0


def gateway(**listener: Any) -> Obj:
    made = {"name": "http", "port": 80, "protocol": "HTTP", **listener}
    return {
        "metadata": {"namespace": "default", "name": "gw", "generation": 3},
        "spec": {"gatewayClassName": "sagong", "listeners": [made]},
    }


def route(*backends: Obj, **parent: Any) -> Obj:
    return {
        "metadata": {"namespace": "default", "name": "r", "generation": 2},
        "spec": {
            "parentRefs": [{"name": "gw", **parent}],
            "hostnames": ["a.example"],
            "rules": [{"backendRefs": list(backends)}],
        },
    }


def mirrored() -> Obj:
    """What our proxies cannot do."""
    made = route({"name": "web"})
    made["spec"]["rules"][0]["filters"] = [{"type": "RequestMirror"}]
    return made


def truths(said: Obj) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in said["conditions"]}


@pytest.mark.parametrize(
    ("made", "listener", "accepted", "resolved"),
    [
        (route({"name": "web"}), {}, "Accepted", "ResolvedRefs"),
        (route({"name": "gone"}), {}, "Accepted", "BackendNotFound"),
        (route({"name": "web", "namespace": "b"}), {}, "Accepted", "RefNotPermitted"),
        (route({"name": "b", "kind": "Bucket"}), {}, "Accepted", "InvalidKind"),
        (route(sectionName="https"), {}, "NoMatchingParent", "ResolvedRefs"),
        (route(port=81), {}, "NoMatchingParent", "ResolvedRefs"),
        (route(), {"hostname": "b.example"}, "NoMatchingListenerHostname", "ResolvedRefs"),
        (route(), {"protocol": "TCP"}, "NotAllowedByListeners", "ResolvedRefs"),
        (mirrored(), {}, "UnsupportedValue", "ResolvedRefs"),
        (route({"name": "web", "filters": [{}]}), {}, "UnsupportedValue", "ResolvedRefs"),
    ],
)
def test_what_is_said_of_a_route(made: Obj, listener: Obj, accepted: str, resolved: str) -> None:
    cache = Kept(**{api.GATEWAYS: [gateway(**listener)]})
    (parent,) = plan_route(made, cache, 0.0)["parents"]
    assert truths(parent) == {
        "Accepted": (str(accepted == "Accepted"), accepted),
        "ResolvedRefs": (str(resolved == "ResolvedRefs"), resolved),
    }
    assert parent["parentRef"] == made["spec"]["parentRefs"][0]
    assert {c["observedGeneration"] for c in parent["conditions"]} == {2}


def test_what_others_said_of_a_route_is_kept() -> None:
    theirs = {"parentRef": {"name": "x"}, "controllerName": "x/y", "conditions": []}
    made = route(name="x") | {"status": {"parents": [theirs]}}
    assert plan_route(made, Kept(), 0.0) == {"parents": [theirs]}


def test_what_is_said_of_a_gateway() -> None:
    node = {
        "metadata": {"name": "n"},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        },
    }
    status = plan_gateway(gateway(), Kept(nodes=[node], **{api.ROUTES: [route()]}), 0.0)
    assert status["addresses"] == [{"type": "IPAddress", "value": "10.0.0.1"}]
    assert truths(status)["Programmed"] == ("True", "Programmed")
    (listener,) = status["listeners"]
    assert (listener["name"], listener["attachedRoutes"]) == ("http", 1)
    refused = plan_gateway(gateway(protocol="UDP"), Kept(nodes=[node]), 0.0)
    assert truths(refused["listeners"][0])["Accepted"] == ("False", "UnsupportedProtocol")
    assert truths(refused)["Programmed"][0] == "False"


def test_a_condition_keeps_its_time_while_it_says_the_same() -> None:
    first = conditions((), [("Accepted", "True", "Accepted")], 1, 0.0)
    again = conditions(first, [("Accepted", "True", "Accepted")], 2, 60.0)
    assert again[0]["lastTransitionTime"] == first[0]["lastTransitionTime"]
    turned = conditions(again, [("Accepted", "False", "NoMatchingParent")], 2, 60.0)
    assert turned[0]["lastTransitionTime"] == "1970-01-01T00:01:00Z"
