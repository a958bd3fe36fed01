"""Cluster IPs and node ports, over a storage that holds objects in a dict."""

from collections.abc import Iterable

import pytest

from sagong.api.call import Answer, Call, Options, Single, Verb
from sagong.api.errors import ApiError, InternalError, Invalid, already_exists, not_found
from sagong.api.meta import deep_copy
from sagong.api.resources import BUILT_IN
from sagong.api.types import Encoded, Obj, User
from sagong.core.ids import SeededIds
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.allocation.service_allocator import ServiceAllocator
from sagong.server.kinds.core.service import STRATEGY

SERVICES = next(r for r in BUILT_IN if r.name == "services")
ADDRESSES = "ipaddresses.networking.k8s.io"


class Objects:
    """Storage and lister in one: what was acknowledged is seen at once."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str, str], Obj] = {}

    async def execute(self, call: Call, user: User) -> Answer:
        name = call.name or call.body["metadata"]["name"]
        key = (call.resource.name, call.namespace or "", name)
        if call.verb is Verb.CREATE:
            if key in self.stored:
                raise already_exists(call.resource.group, call.resource.plural, name)
            self.stored[key] = call.body
        elif key not in self.stored:
            raise not_found(call.resource.group, call.resource.plural, name)
        else:
            del self.stored[key]
        return Single(Encoded(call.body or {}))

    async def modify(self, *_: object, **__: object) -> Answer:
        raise AssertionError("not used")

    def get(self, resource: str, namespace: str, name: str) -> Encoded | None:
        obj = self.stored.get((resource, namespace, name))
        return Encoded(obj) if obj is not None else None

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Encoded]:
        return [Encoded(o) for (r, _, _), o in self.stored.items() if r == resource]

    def addresses(self) -> set[str]:
        return {name for resource, _, name in self.stored if resource == ADDRESSES}


class Cluster:
    """Writes services as the registry does."""

    def __init__(self, cidr: str = "10.96.0.0/28", ports: range = range(30000, 30004)) -> None:
        self.objects = Objects()
        self.allocator = ServiceAllocator(
            self.objects, self.objects, cidr=cidr, port_range=ports, ids=SeededIds(1)
        )

    async def write(self, name: str, spec: Obj, *, dry_run: bool = False) -> Obj:
        key = ("services", "default", name)
        old = self.objects.stored.get(key)
        obj: Obj = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": deep_copy(spec),
        }
        STRATEGY.default(obj)
        if old is None:
            STRATEGY.prepare_for_create(obj)
        else:
            STRATEGY.prepare_for_update(obj, old)
        attributes = Attributes(
            operation=Operation.CREATE if old is None else Operation.UPDATE,
            resource=SERVICES,
            subresource="",
            namespace="default",
            name=name,
            obj=obj,
            old=old,
            options=Options(dry_run=dry_run),
            user=User("u"),
            lister=self.objects,
        )
        await self.allocator.admit(attributes)
        if not dry_run:
            self.objects.stored[key] = obj
        await self.allocator.settle(attributes, stored=not dry_run)
        return obj["spec"]


def port(number: int = 80, **more: object) -> Obj:
    return {"port": number, **more}


def causes(error: ApiError) -> list[tuple[str, str]]:
    return [(c["field"], c["message"]) for c in error.causes]


async def test_a_service_gets_an_address_that_nobody_else_gets() -> None:
    cluster = Cluster()

    specs = [await cluster.write(f"s{i}", {"ports": [port()]}) for i in range(14)]

    assert len({s["clusterIP"] for s in specs}) == 14
    assert cluster.objects.addresses() == {s["clusterIP"] for s in specs}
    assert specs[0]["ipFamilies"] == ["IPv4"]
    assert specs[0]["ipFamilyPolicy"] == "SingleStack"
    with pytest.raises(InternalError, match="range is full"):
        await cluster.write("more", {"ports": [port()]})


async def test_an_address_asked_for_is_given_once() -> None:
    cluster = Cluster()
    await cluster.write("a", {"clusterIP": "10.96.0.5", "ports": [port()]})

    with pytest.raises(Invalid) as refused:
        await cluster.write("b", {"clusterIP": "10.96.0.5", "ports": [port()]})

    why = "failed to allocate IP 10.96.0.5: provided IP is already allocated"
    message = f'Invalid value: ["10.96.0.5"]: {why}'
    assert causes(refused.value) == [("spec.clusterIPs", message)]


async def test_an_address_outside_of_every_range_is_refused() -> None:
    with pytest.raises(Invalid, match="does not match the current range"):
        await Cluster().write("a", {"clusterIP": "10.97.0.5", "ports": [port()]})


async def test_headless_and_external_name_get_no_address() -> None:
    cluster = Cluster()

    headless = await cluster.write("h", {"clusterIP": "None", "selector": {"a": "b"}})
    external = await cluster.write("e", {"type": "ExternalName", "externalName": "example.com"})

    assert headless["clusterIPs"] == ["None"]
    assert headless["ipFamilies"] == ["IPv4"]
    assert "ipFamilies" not in external
    assert cluster.objects.addresses() == set()


async def test_becoming_external_name_gives_the_address_back() -> None:
    cluster = Cluster()
    await cluster.write("a", {"ports": [port()]})

    await cluster.write("a", {"type": "ExternalName", "externalName": "example.com"})

    assert cluster.objects.addresses() == set()


async def test_an_update_keeps_address_and_ports() -> None:
    cluster = Cluster()
    before = await cluster.write("a", {"type": "NodePort", "ports": [port()]})

    after = await cluster.write("a", {"type": "NodePort", "ports": [port(), port(81, name="x")]})

    assert after["clusterIP"] == before["clusterIP"]
    assert after["ports"][0]["nodePort"] == before["ports"][0]["nodePort"]


async def test_node_ports_run_out_and_come_back() -> None:
    cluster = Cluster()
    for i in range(4):
        await cluster.write(f"s{i}", {"type": "NodePort", "ports": [port()]})
    with pytest.raises(InternalError, match="failed to allocate a nodePort: range is full"):
        await cluster.write("more", {"type": "NodePort", "ports": [port()]})
    assert len(cluster.objects.addresses()) == 4

    await cluster.write("s0", {"type": "ClusterIP", "ports": [port()]})

    assert await cluster.write("more", {"type": "NodePort", "ports": [port()]})


async def test_a_node_port_asked_for_is_given_once() -> None:
    cluster = Cluster()
    await cluster.write("a", {"type": "NodePort", "ports": [port(nodePort=30001)]})

    with pytest.raises(Invalid) as refused:
        await cluster.write("b", {"type": "NodePort", "ports": [port(nodePort=30001)]})

    message = "Invalid value: 30001: provided port is already allocated"
    assert causes(refused.value) == [("spec.ports[0].nodePort", message)]
    assert len(cluster.objects.addresses()) == 1


async def test_tcp_and_udp_on_one_port_share_the_node_port() -> None:
    ports = [port(53, name="t"), port(53, name="u", protocol="UDP")]

    spec = await Cluster().write("dns", {"type": "NodePort", "ports": ports})

    assert spec["ports"][0]["nodePort"] == spec["ports"][1]["nodePort"]


async def test_a_dry_run_reserves_nothing() -> None:
    cluster = Cluster()

    spec = await cluster.write("a", {"type": "NodePort", "ports": [port()]}, dry_run=True)

    assert spec["clusterIP"] == "10.96.0.0"
    assert spec["ports"][0]["nodePort"] in range(30000, 30004)
    assert cluster.objects.addresses() == set()


async def test_dual_stack_cannot_be_required_of_a_cluster_of_one_family() -> None:
    with pytest.raises(Invalid) as refused:
        await Cluster().write("a", {"ipFamilyPolicy": "RequireDualStack", "ports": [port()]})

    why = "this cluster is not configured for dual-stack services"
    message = f'Invalid value: "RequireDualStack": {why}'
    assert causes(refused.value) == [("spec.ipFamilyPolicy", message)]


async def test_repair_restores_and_removes_reservations() -> None:
    cluster = Cluster()
    spec = await cluster.write("a", {"ports": [port()]})
    kept = cluster.objects.stored.pop((ADDRESSES, "", spec["clusterIP"]))
    lost = deep_copy(kept)
    lost["metadata"]["name"] = "10.96.0.14"
    lost["spec"]["parentRef"]["name"] = "gone"
    cluster.objects.stored[ADDRESSES, "", "10.96.0.14"] = lost

    await cluster.allocator.repair()
    await cluster.allocator.repair()

    assert cluster.objects.addresses() == {spec["clusterIP"]}


DUAL = "10.96.0.0/28,fd00:96::/112"


async def test_a_service_of_two_families_has_an_address_of_each() -> None:
    cluster = Cluster(DUAL)

    plain = await cluster.write("plain", {"ports": [port()]})
    preferring = await cluster.write("a", {"ipFamilyPolicy": "PreferDualStack", "ports": [port()]})
    other = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"], "ports": [port()]}
    turned = await cluster.write("b", other)

    assert (plain["ipFamilies"], len(plain["clusterIPs"])) == (["IPv4"], 1)
    assert preferring["ipFamilies"] == ["IPv4", "IPv6"]
    assert [":" in ip for ip in preferring["clusterIPs"]] == [False, True]
    assert turned["ipFamilies"] == ["IPv6", "IPv4"]
    assert turned["clusterIP"] == turned["clusterIPs"][0]
    assert cluster.objects.addresses() == {
        ip for spec in (plain, preferring, turned) for ip in spec["clusterIPs"]
    }


async def test_a_second_address_is_added_and_given_back() -> None:
    cluster = Cluster(DUAL)
    single = await cluster.write("a", {"ports": [port()]})

    both = await cluster.write("a", {"ipFamilyPolicy": "RequireDualStack", "ports": [port()]})
    again = await cluster.write("a", {"ipFamilyPolicy": "SingleStack", "ports": [port()]})

    assert both["clusterIPs"][0] == single["clusterIP"]
    assert len(both["clusterIPs"]) == 2
    assert (again["clusterIPs"], again["ipFamilies"]) == (single["clusterIPs"], ["IPv4"])
    assert cluster.objects.addresses() == set(single["clusterIPs"])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5", "fd00:96::5"]},
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs",
        ),
        (
            {"ipFamilies": ["IPv4", "IPv6"]},
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families",
        ),
    ],
)
async def test_two_families_need_a_policy_that_says_so(change: Obj, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        await Cluster(DUAL).write("a", {"ports": [port()], **change})


async def test_a_second_address_is_released_by_the_policy_alone() -> None:
    cluster = Cluster(DUAL)
    spec = await cluster.write("a", {"ipFamilyPolicy": "PreferDualStack", "ports": [port()]})

    fewer = {**spec, "clusterIPs": spec["clusterIPs"][:1]}
    with pytest.raises(Invalid, match="must be 'SingleStack' to release the secondary cluster IP"):
        await cluster.write("a", fewer)


async def test_a_preferring_service_is_left_alone_by_the_cluster_s_change() -> None:
    cluster = Cluster()
    spec = await cluster.write("a", {"ipFamilyPolicy": "PreferDualStack", "ports": [port()]})
    assert spec["ipFamilies"] == ["IPv4"]
    cluster.allocator = ServiceAllocator(
        cluster.objects,
        cluster.objects,
        cidr=DUAL,
        port_range=range(30000, 30004),
        ids=SeededIds(1),
    )

    same = await cluster.write("a", {**spec, "ports": [port(81)]})
    required = await cluster.write("a", {**spec, "ipFamilyPolicy": "RequireDualStack"})

    assert same["ipFamilies"] == ["IPv4"]
    assert required["ipFamilies"] == ["IPv4", "IPv6"]


async def test_headless_without_selector_is_of_both_families_anywhere() -> None:
    spec = await Cluster().write("a", {"clusterIP": "None"})
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == ("RequireDualStack", ["IPv4", "IPv6"])
