"""Devices for claims: pools, selectors, counts, alternatives, constraints, what is written."""

from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.scheduler.cluster import Cluster, make_node, make_pod
from tests.unit.scheduler.test_volumes import Objects

from sagong.api.types import Obj
from sagong.scheduler.cycle import Decision
from sagong.scheduler.devices.allocation import allocation_of
from sagong.scheduler.devices.inventory import Inventory
from sagong.scheduler.devices.lookup import CLAIMS, CLASSES, SLICES, Devices
from sagong.scheduler.plugin import Cycle

DRIVER = "gpu.example.com"


def device(name: str, *, memory: str = "8Gi", taints: Sequence[Obj] = (), **attributes: Any) -> Obj:
    def value(given: Any) -> Obj:
        kind = {bool: "bool", int: "int", str: "string"}[type(given)]
        return {kind: given}

    return {
        "name": name,
        "attributes": {key: value(given) for key, given in attributes.items()},
        "capacity": {"memory": {"value": memory}},
        "taints": list(taints),
    }


def slice_(node: str, *devices: Obj, generation: int = 1, count: int = 1, **more: Any) -> Obj:
    pool = {"name": node or "shared", "generation": generation, "resourceSliceCount": count}
    where = more or {"nodeName": node}
    name = f"{node}-{generation}-{'-'.join(d['name'] for d in devices)}"
    spec = {"driver": DRIVER, "pool": pool, "devices": list(devices), **where}
    return {"metadata": {"name": name}, "spec": spec}


def class_(name: str, expression: str = "", config: Sequence[Obj] = ()) -> Obj:
    selectors = [{"cel": {"expression": expression}}] if expression else []
    return {"metadata": {"name": name}, "spec": {"selectors": selectors, "config": list(config)}}


def request(name: str = "gpu", class_name: str = "gpus", cel: str = "", **more: Any) -> Obj:
    selectors = [{"cel": {"expression": cel}}] if cel else []
    return {
        "name": name,
        "exactly": {"deviceClassName": class_name, "selectors": selectors, **more},
    }


def claim(name: str, *requests: Obj, constraints: Sequence[Obj] = (), **status: Any) -> Obj:
    devices: Obj = {"requests": list(requests), "constraints": list(constraints)}
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return {"metadata": metadata, "spec": {"devices": devices}, "status": status}


class World:
    """A cluster with devices."""

    def __init__(self, nodes: Sequence[str], slices: Sequence[Obj], *claims: Obj) -> None:
        self.cluster = Cluster(*(make_node(name, labels={"at": name}) for name in nodes))
        cache = Objects()
        cache.resources = {
            SLICES: list(slices),
            CLAIMS: list(claims),
            CLASSES: [class_("gpus", f'device.driver == "{DRIVER}"')],
        }
        self.resources = cache.resources
        self.devices = Devices(cache)

    def decide(self, *claims: str) -> tuple[Cycle, Decision]:
        obj = make_pod("p")
        obj["spec"]["resourceClaims"] = [
            {"name": f"c{i}", "resourceClaimName": name} for i, name in enumerate(claims)
        ]
        pod = self.cluster.facts(obj)
        cycle = Cycle(pod, self.cluster.state, devices=self.devices.look_up(pod))
        return cycle, self.cluster.decider.decide(self.cluster.profile, cycle)

    def place(self, *claims: str) -> tuple[str, list[str]] | None:
        """Node and devices, which are taken from then on."""
        cycle, decision = self.decide(*claims)
        if decision.slot is None:
            return None
        facts = self.cluster.state.columns.facts(decision.slot)
        chosen = cycle.devices.choose(facts.name, facts.labels)
        assert chosen is not None
        for index, waiting in enumerate(cycle.devices.waiting):
            own = [entry for entry in chosen if entry.claim == index]
            self.devices.assume(waiting, allocation_of(waiting, own, facts.name))
        return facts.name, [entry.device.id.device for entry in chosen]

    def why(self, *claims: str) -> str:
        _, decision = self.decide(*claims)
        assert decision.slot is None
        return decision.why().message()


def test_a_device_is_given_once() -> None:
    world = World(["a", "b"], [slice_("b", device("g0"))], claim("x", request()),
                  claim("y", request()))  # fmt: skip
    assert world.place("x") == ("b", ["g0"])
    assert "2 cannot allocate all claims" in world.why("y")
    # Pods that share the claim go where its device is.
    message = world.why("x", "y")
    assert "1 resourceclaim not available on the node" in message
    world.devices.give_up(world.resources[CLAIMS][0])
    assert world.place("y") == ("b", ["g0"])


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        (f'device.attributes["{DRIVER}"].model == "large"', ["g1"]),
        (f'device.attributes["{DRIVER}"].cores >= 8', ["g2"]),
        (f'device.capacity["{DRIVER}"].memory.compareTo(quantity("16Gi")) >= 0', ["g2"]),
        (f'!device.attributes["{DRIVER}"].shared', ["g1"]),
        ('device.driver == "other.example.com"', None),
    ],
)
def test_selectors_choose(expression: str, found: list[str] | None) -> None:
    devices = [
        device("g0", model="small", cores=2, shared=True),
        device("g1", model="large", cores=4, shared=False),
        device("g2", model="huge", cores=16, shared=False, memory="32Gi"),
    ]
    world = World(["a"], [slice_("a", *devices)], claim("x", request(cel=expression)))
    placed = world.place("x")
    assert (placed[1] if placed else None) == found


def test_an_expression_that_fails_is_said() -> None:
    expression = f'device.attributes["{DRIVER}"].missing == 1'
    world = World(["a"], [slice_("a", device("g0"))], claim("x", request(cel=expression)))
    assert "g0: selector: no such key: missing" in world.why("x")


def test_counts_and_all() -> None:
    devices = [device(f"g{i}") for i in range(3)]
    world = World(["a"], [slice_("a", *devices)], claim("two", request(count=2)),
                  claim("all", request(allocationMode="All")))  # fmt: skip
    assert world.place("two") == ("a", ["g0", "g1"])
    # All of them are wanted, and two are somebody else's.
    assert world.place("all") is None
    world = World(["a"], [slice_("a", *devices)], claim("all", request(allocationMode="All")))
    assert world.place("all") == ("a", ["g0", "g1", "g2"])


def test_the_first_alternative_that_can_be_had() -> None:
    def choice(*counts: int) -> Obj:
        return {
            "name": "gpu",
            "firstAvailable": [
                {"name": f"n{n}", "deviceClassName": "gpus", "count": n} for n in counts
            ],
        }

    slices = [slice_("a", device("g0"), device("g1"))]
    world = World(["a"], slices, claim("x", choice(4, 2, 1)))
    cycle, decision = world.decide("x")
    assert decision.slot is not None
    chosen = cycle.devices.choose("a", {})
    assert chosen is not None
    assert [(c.wish.name, c.device.id.device) for c in chosen] == [
        ("gpu/n2", "g0"),
        ("gpu/n2", "g1"),
    ]


def test_constraints_look_at_all_devices_together() -> None:
    devices = [
        device("g0", numa=0),
        device("g1", numa=1),
        device("g2", numa=1),
    ]
    same = {"matchAttribute": f"{DRIVER}/numa"}
    other = {"distinctAttribute": f"{DRIVER}/numa"}
    pair = [request("one"), request("two")]
    world = World(["a"], [slice_("a", *devices)], claim("x", *pair, constraints=[same]))
    assert world.place("x") == ("a", ["g1", "g2"])
    world = World(["a"], [slice_("a", *devices)], claim("x", *pair, constraints=[other]))
    assert world.place("x") == ("a", ["g0", "g1"])
    three = claim("x", request(count=3), constraints=[same])
    assert World(["a"], [slice_("a", *devices)], three).place("x") is None


def test_backtracking_finds_what_greed_misses() -> None:
    devices = [device("g0", model="any"), device("g1", model="other")]
    picky = request("picky", cel=f'device.attributes["{DRIVER}"].model == "any"')
    world = World(["a"], [slice_("a", *devices)], claim("x", request("easy"), picky))
    placed = world.place("x")
    assert placed is not None
    assert sorted(placed[1]) == ["g0", "g1"]


def test_tainted_devices_are_for_those_who_tolerate_it() -> None:
    taint = {"key": "broken", "value": "", "effect": "NoSchedule"}
    slices = [slice_("a", device("g0", taints=[taint]))]
    assert World(["a"], slices, claim("x", request())).place("x") is None
    tolerates = request(tolerations=[{"key": "broken", "operator": "Exists"}])
    assert World(["a"], slices, claim("x", tolerates)).place("x") == ("a", ["g0"])


def test_administrators_see_devices_that_others_use() -> None:
    slices = [slice_("a", device("g0"))]
    world = World(["a"], slices, claim("x", request()), claim("admin", request(adminAccess=True)))
    assert world.place("x") is not None
    assert world.place("admin") == ("a", ["g0"])


def test_only_the_newest_complete_pool_counts() -> None:
    old, new = slice_("a", device("old")), slice_("a", device("new"), generation=2)
    assert [d.id.device for d in Inventory.of([old, new]).devices] == ["new"]
    half = slice_("a", device("half"), generation=3, count=2)
    assert Inventory.of([old, half]).devices == []


def test_devices_reach_nodes_by_selector_or_all() -> None:
    term = {"matchExpressions": [{"key": "at", "operator": "In", "values": ["b"]}]}
    selected = slice_("", device("s"), nodeSelector={"nodeSelectorTerms": [term]})
    world = World(["a", "b"], [selected], claim("x", request()))
    assert world.place("x") == ("b", ["s"])
    cycle, _ = World(["a", "b"], [selected], claim("x", request())).decide("x")
    chosen = cycle.devices.choose("b", {"at": "b"})
    assert chosen is not None
    written = allocation_of(claim("x"), chosen, "b")
    assert written["nodeSelector"] == {"nodeSelectorTerms": [term]}
    everywhere = slice_("", device("e"), allNodes=True)
    cycle, _ = World(["a"], [everywhere], claim("x", request())).decide("x")
    chosen = cycle.devices.choose("a", {})
    assert chosen is not None
    assert "nodeSelector" not in allocation_of(claim("x"), chosen, "a")


def test_what_is_written_into_the_claim() -> None:
    opaque = {"opaque": {"driver": DRIVER, "parameters": {"a": 1}}}
    world = World(["a"], [slice_("a", device("g0"))], claim("x", request()))
    world.resources[CLASSES] = [class_("gpus", config=[opaque])]
    wanted = world.resources[CLAIMS][0]
    wanted["spec"]["devices"]["config"] = [{"requests": ["gpu"], **opaque}]
    cycle, _ = world.decide("x")
    chosen = cycle.devices.choose("a", {})
    assert chosen is not None
    assert allocation_of(wanted, chosen, "a") == {
        "devices": {
            "results": [{"request": "gpu", "driver": DRIVER, "pool": "a", "device": "g0"}],
            "config": [
                {"source": "FromClass", "requests": ["gpu"], **opaque},
                {"source": "FromClaim", "requests": ["gpu"], **opaque},
            ],
        },
        "nodeSelector": {
            "nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}
            ]
        },
    }


def test_what_is_wrong_with_claims_is_said_of_the_pod() -> None:
    leaving = claim("leaving", request())
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    full = claim("full", request(), reservedFor=[{"uid": str(i)} for i in range(256)])
    classless = claim("classless", request(class_name="none"))
    world = World(["a"], [slice_("a", device("g0"))], leaving, full, classless)
    for name, why in (
        ("absent", 'resourceclaim.resource.k8s.io "absent" not found'),
        ("leaving", 'resourceclaim "leaving" is being deleted'),
        ("full", "resourceclaim in use"),
        ("classless", "request gpu: device class none does not exist"),
    ):
        assert world.why(name).startswith(f"0/1 nodes are available: {why}."), name
