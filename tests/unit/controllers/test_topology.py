"""Endpoints dealt out to zones by their CPUs."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagong.api.types import Obj
from sagong.controllers.discovery import endpointslice
from sagong.controllers.discovery.backends import Backend
from sagong.controllers.discovery.topology import OVERLOAD, deal, shares_of

from .objects import meta

THIRDS = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}


def endpoints(zones: str) -> list[tuple[str, str]]:
    return [(f"e{number:03}", zone) for number, zone in enumerate(zones)]


def node(zone: str, cpu: str, ready: str = "True", **labels: str) -> Obj:
    wanted = {"topology.kubernetes.io/zone": zone} if zone else {}
    return {
        "metadata": {"name": f"n-{zone}-{cpu}", "labels": wanted | labels},
        "status": {
            "allocatable": {"cpu": cpu},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


@pytest.mark.parametrize(
    ("zones", "shares", "dealt"),
    [
        ("abc", THIRDS, {"a": 1, "b": 1, "c": 1}),
        ("aabbcc", THIRDS, {"a": 2, "b": 2, "c": 2}),
        # One zone has too many: another's clients get some of them.
        ("aaabbc", THIRDS, {"a": 2, "b": 2, "c": 2}),
        # Too few to go round, or too unequal.
        ("ab", THIRDS, None),
        ("abca", THIRDS, None),
        ("aabb", {"a": 0.5, "b": 0.5}, {"a": 2, "b": 2}),
        ("ab" * 10, {"a": 0.75, "b": 0.25}, {"a": 15, "b": 5}),
        ("abd", THIRDS, None),
        ("abc", None, None),
    ],
)
def test_deals(zones: str, shares: dict[str, float] | None, dealt: dict[str, int] | None) -> None:
    found = deal(endpoints(zones), shares)
    assert (None if found is None else Counter(found.values())) == dealt


@given(st.text("abc", max_size=60), st.tuples(*[st.integers(1, 64)] * 3))
def test_no_zone_is_overloaded(zones: str, cpus: tuple[int, int, int]) -> None:
    shares = {zone: cpu / sum(cpus) for zone, cpu in zip("abc", cpus, strict=True)}
    found = deal(endpoints(zones), shares)
    if found is None:
        return
    counts = Counter(found.values())
    assert len(found) == len(zones)
    for zone, share in shares.items():
        # Requests of a zone, spread over its endpoints, against the average of all.
        assert share * len(zones) / counts[zone] <= 1 + OVERLOAD + 1e-9


def test_shares() -> None:
    nodes = [node("a", "4"), node("a", "2"), node("b", "2"), node("b", "8", ready="False")]
    assert shares_of(nodes) == {"a": 0.75, "b": 0.25}
    control = {"node-role.kubernetes.io/control-plane": ""}
    assert shares_of([*nodes, node("c", "8", **control)]) == {"a": 0.75, "b": 0.25}
    assert shares_of([*nodes, node("", "8")]) is None
    assert shares_of(nodes[:2]) is None


def backend(number: int, zone: str, *, ready: bool = True) -> Backend:
    where = ("default", f"p{number}", f"u{number}")
    return Backend(
        f"10.0.0.{number}", "IPv4", where, f"n-{zone}", zone, "", ready, ready, False, ()
    )


@pytest.mark.parametrize(
    ("annotations", "distribution", "zones"),
    [
        ({}, None, []),
        ({"service.kubernetes.io/topology-mode": "Auto"}, None, ["a", "a", "b", "b"]),
        ({"service.kubernetes.io/topology-aware-hints": "auto"}, None, ["a", "a", "b", "b"]),
        ({}, "PreferClose", ["a", "a", "a", "b"]),
        # The annotation goes before the field.
        ({"service.kubernetes.io/topology-mode": "Auto"}, "PreferClose", ["a", "a", "b", "b"]),
    ],
)
def test_slices_say_whom_endpoints_are_for(
    annotations: dict[str, str], distribution: str | None, zones: list[str]
) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta("web", annotations=annotations),
        "spec": {"selector": {"app": "web"}, "trafficDistribution": distribution},
    }
    backends = [backend(n, zone) for n, zone in enumerate("aaab")]
    backends.append(backend(9, "a", ready=False))
    seen = endpointslice.Seen(service, backends, [], {"a": 0.5, "b": 0.5})
    [made] = endpointslice.plan(seen).create
    hints = [e["hints"]["forZones"][0]["name"] for e in made["endpoints"] if "hints" in e]
    assert sorted(hints) == zones
