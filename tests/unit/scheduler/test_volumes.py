"""Volumes in filters: limits, zones, exclusive claims, disks, space; broken claims."""

from collections.abc import Iterable, Mapping
from typing import Any

from tests.unit.scheduler.cluster import Cluster, make_node, make_pod

from sagong.api.types import Obj
from sagong.scheduler.cycle import Decision
from sagong.scheduler.volumes import look_up

ZONE = "topology.kubernetes.io/zone"
BOUND = {"pv.kubernetes.io/bind-completed": "yes"}


class Objects:
    """A cache that is filled by hand."""

    def __init__(self, **resources: list[Obj]) -> None:
        names = {
            "claims": "persistentvolumeclaims",
            "volumes": "persistentvolumes",
            "classes": "storageclasses.storage.k8s.io",
            "drivers": "csidrivers.storage.k8s.io",
            "capacities": "csistoragecapacities.storage.k8s.io",
        }
        self.resources: Mapping[str, list[Obj]] = {names[k]: v for k, v in resources.items()}

    def get(self, resource: str, namespace: str, name: str) -> Obj | None:
        found = self.resources.get(resource, [])
        return next((o for o in found if o["metadata"]["name"] == name), None)

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Obj]:
        return self.resources.get(resource, [])

    def owned_by(self, resource: str, owner_uid: str) -> Iterable[Obj]:
        return ()

    def with_index(self, resource: str, index: str, value: str) -> Iterable[Obj]:
        return ()


def claim(name: str, volume: str = "", *, mode: str = "ReadWriteOnce", class_: str = "") -> Obj:
    spec: Obj = {
        "accessModes": [mode],
        "storageClassName": class_,
        "resources": {"requests": {"storage": "5Gi"}},
    }
    metadata: Obj = {"name": name, "namespace": "default", "uid": name}
    if volume:
        spec["volumeName"] = volume
        metadata["annotations"] = BOUND
    return {"metadata": metadata, "spec": spec}


def volume(name: str, **labels: str) -> Obj:
    named = {key.replace("_", "."): value for key, value in labels.items()}
    return {
        "metadata": {"name": name, "labels": named},
        "spec": {"csi": {"driver": "csi.example.com", "volumeHandle": name}},
    }


def user(name: str, *claims: str) -> Obj:
    volumes = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
    return make_pod(name, volumes=volumes)


class Stored(Cluster):
    """A cluster with storage."""

    def __init__(self, objects: Objects, *nodes: Obj) -> None:
        super().__init__(*nodes)
        self.objects = objects
        self.state.storage._driver_of = lambda key: "csi.example.com"

    def decided(self, obj: Obj) -> Decision:
        return self.decide(obj, look_up(self.facts(obj), self.objects))  # type: ignore[arg-type]

    def refusal(self, obj: Obj) -> str:
        decision = self.decided(obj)
        assert decision.slot is None
        return decision.why().message()

    def placed(self, obj: Obj) -> str | None:
        decision = self.decided(obj)
        if decision.slot is None:
            return None
        name = self.state.columns.names[decision.slot]
        self.state.place(self.facts(obj), name)
        return name


def many(count: int) -> Objects:
    return Objects(
        claims=[claim(f"c{i}", f"v{i}") for i in range(count)],
        volumes=[volume(f"v{i}") for i in range(count)],
    )


def test_no_more_volumes_than_a_node_can_attach() -> None:
    cluster = Stored(many(4), make_node("a"))
    cluster.state.columns.set_limits("a", {"csi.example.com": 2})
    assert cluster.placed(user("p0", "c0", "c1")) == "a"
    message = cluster.refusal(user("p1", "c2"))
    assert "0/1 nodes are available: 1 node(s) exceed max volume count." in message
    # A volume that is there already is not attached once more.
    assert cluster.placed(user("p2", "c1")) == "a"
    cluster.state.displace("uid-default-p0")
    assert cluster.placed(user("p3", "c2")) == "a"
    assert cluster.placed(user("p4", "c3")) is None
    cluster.state.columns.remove_limits("a")
    assert cluster.placed(user("p4", "c3")) == "a"


def test_limits_may_be_known_before_their_node() -> None:
    cluster = Stored(many(2))
    cluster.state.columns.set_limits("late", {"csi.example.com": 1})
    from sagong.scheduler.columns import facts_of

    cluster.state.set_node(facts_of(make_node("late")))
    assert cluster.placed(user("p0", "c0")) == "late"
    assert cluster.placed(user("p1", "c1")) is None


def test_volumes_stay_in_their_zones() -> None:
    objects = Objects(claims=[claim("c", "v")], volumes=[{**volume("v"), "metadata": {
        "name": "v", "labels": {ZONE: "z1__z2"}}}])  # fmt: skip
    nodes = [make_node(f"n{i}", labels={ZONE: f"z{i}"}) for i in range(3)]
    cluster = Stored(objects, nodes[0])
    message = cluster.refusal(user("p", "c"))
    assert "1 node(s) had no available volume zone" in message
    for wanted in ("z1", "z2"):
        cluster = Stored(objects, nodes[0], nodes[int(wanted[1])])
        assert cluster.placed(user("p", "c")) == f"n{wanted[1]}"
    # Nodes without zones are not held to any.
    assert Stored(objects, make_node("plain")).placed(user("p", "c")) == "plain"


def test_a_claim_for_one_pod_only() -> None:
    objects = Objects(claims=[claim("c", "v", mode="ReadWriteOncePod")], volumes=[volume("v")])
    cluster = Stored(objects, make_node("a"), make_node("b"))
    assert cluster.placed(user("p", "c")) is not None
    reason = (
        "2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod "
        "access mode"
    )
    decision = cluster.decided(user("q", "c"))
    assert decision.slot is None
    assert reason in decision.why().message()
    # Whoever is more important may have it.
    assert decision.why().evictable == 2
    cluster.state.displace("uid-default-p")
    assert cluster.placed(user("q", "c")) is not None


def disk_user(name: str, **disk: Any) -> Obj:
    return make_pod(name, volumes=[{"name": "d", **disk}])


def test_one_disk_is_not_written_twice_on_a_node() -> None:
    def gce(name: str, *, read_only: bool) -> Obj:
        return disk_user(name, gcePersistentDisk={"pdName": "d", "readOnly": read_only})

    cluster = Cluster(make_node("a"))
    cluster.place(gce("r0", read_only=True))
    assert cluster.place(gce("r1", read_only=True)) == "a"
    assert "1 node(s) had no available disk" in cluster.why(gce("w", read_only=False))
    other = Cluster(make_node("a"), make_node("b"))
    ebs = {"volumeID": "v"}
    first = other.place(disk_user("x", awsElasticBlockStore=ebs))
    assert other.place(disk_user("y", awsElasticBlockStore=ebs)) not in (None, first)

    def rbd(name: str, *monitors: str) -> Obj:
        return disk_user(name, rbd={"image": "i", "monitors": list(monitors)})

    third = Cluster(make_node("a"))
    third.place(rbd("x", "m1", "m2"))
    assert third.place(rbd("y", "m2", "m3")) is None
    assert third.place(rbd("z", "m3")) == "a"


def waiting_world(capacity: str | None, *, heeded: bool = True) -> Objects:
    delayed = {
        "metadata": {"name": "slow"},
        "provisioner": "csi.example.com",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    capacities = []
    if capacity is not None:
        capacities.append(
            {
                "metadata": {"name": "x"},
                "storageClassName": "slow",
                "nodeTopology": {"matchLabels": {ZONE: "z1"}},
                "capacity": capacity,
            }
        )
    return Objects(
        claims=[claim("c", class_="slow")],
        classes=[delayed],
        drivers=[{"metadata": {"name": "csi.example.com"}, "spec": {"storageCapacity": heeded}}],
        capacities=capacities,
    )


def test_volumes_are_made_where_there_is_space() -> None:
    nodes = [make_node(f"n{i}", labels={ZONE: f"z{i}"}) for i in range(3)]
    assert Stored(waiting_world("10Gi"), *nodes).placed(user("p", "c")) == "n1"
    for capacity in ("1Gi", None):
        message = Stored(waiting_world(capacity), *nodes).refusal(user("p", "c"))
        assert "3 node(s) did not have enough free storage" in message
    assert Stored(waiting_world(None, heeded=False), *nodes).placed(user("p", "c")) is not None


def test_what_is_wrong_with_claims_is_said_of_the_pod() -> None:
    cluster = Stored(Objects(claims=[claim("c", "gone"), claim("now")]), make_node("a"))
    for name, why in (
        ("none", 'persistentvolumeclaim "none" not found'),
        ("c", "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"),
        ("now", "pod has unbound immediate PersistentVolumeClaims"),
    ):
        message = cluster.refusal(user("p", name))
        assert message.startswith(f"0/1 nodes are available: {why}. "), message
