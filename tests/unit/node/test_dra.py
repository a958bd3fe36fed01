"""Claims: who may use them, what of them a container has, what CDI names stand for."""

from pathlib import Path

import orjson
import pytest

from sagong.api.types import Obj
from sagong.node.dra.books import ClaimBooks, ClaimRecord
from sagong.node.dra.cdi import CdiFailure, edits_of
from sagong.node.dra.claims import Use, check_use, claim_names, entries
from sagong.node.dra.driver import ClaimReference, DraDriver, PreparedDevice
from sagong.node.plugins.channel import PluginFailure
from sagong.node.pods.container_config import DevicePlan, MountPlan

from .situations import pod

REFERENCE = ClaimReference("ns", "c", "uid-c")


def record(*devices: PreparedDevice, pods: frozenset[str] = frozenset({"u"})) -> ClaimRecord:
    return ClaimRecord(REFERENCE, {"drv": list(devices)}, pods, is_prepared=True)


def user(*listed: Obj, **status: object) -> Obj:
    return {**pod({"name": "a"}, resourceClaims=list(listed)), "status": status}


def test_the_claims_of_a_pod() -> None:
    named = {"name": "a", "resourceClaimName": "one"}
    made = {"name": "b", "resourceClaimTemplateName": "t"}
    unneeded = {"name": "n", "resourceClaimTemplateName": "t"}
    told = [{"name": "b", "resourceClaimName": "p-b-x"}, {"name": "n"}]
    own = user(named, made, unneeded, resourceClaimStatuses=told)
    assert list(entries(own)) == [("a", "one", False), ("b", "p-b-x", True), ("n", "", True)]
    assert claim_names(own) == {"one": False, "p-b-x": True}
    with pytest.raises(PluginFailure, match='pod "ns/p": ResourceClaim not created yet'):
        claim_names(user(made))
    extended = {"resourceClaimName": "p-extended", "requestMappings": []}
    assert claim_names(user(extendedResourceClaimStatus=extended)) == {"p-extended": True}


def test_a_claim_is_the_pods_to_use_only_when_it_is_reserved_and_allocated() -> None:
    def problem(*, owned: bool = False, owner: str = "u", **status: object) -> str:
        owners = [{"controller": True, "uid": owner}]
        metadata = {"name": "c", "namespace": "ns", "uid": "uid-c", "ownerReferences": owners}
        try:
            check_use(pod({"name": "a"}), {"metadata": metadata, "status": status}, owned=owned)
        except PluginFailure as failure:
            return str(failure)
        return ""

    reserved = [{"resource": "pods", "name": "p", "uid": "u"}]
    allocation: Obj = {"devices": {"results": []}}
    assert problem(reservedFor=reserved, allocation=allocation, owned=True) == ""
    assert problem(allocation=allocation) == (
        "pod p (u) is not allowed to use ResourceClaim c (uid-c)"
    )
    assert problem(reservedFor=reserved) == "ResourceClaim c: not allocated"
    assert problem(reservedFor=reserved, owned=True, owner="other") == (
        "ResourceClaim ns/c was not created for pod ns/p (pod is not owner)"
    )


def test_a_container_has_the_devices_of_its_request() -> None:
    left = PreparedDevice("pool", "a", ("left",), ("k=a",))
    right = PreparedDevice("pool", "b", ("right/first",), ("k=b",))
    any_ = PreparedDevice("pool", "c", (), ("k=c",))
    both = record(left, right, any_)

    def names(request: str) -> str:
        return "".join(device.device for _, device in Use("e", request, both).devices())

    assert (names(""), names("left"), names("right"), names("other")) == ("abc", "ac", "bc", "c")


def test_books_are_found_again_and_forget_what_nobody_uses(tmp_path: Path) -> None:
    device = PreparedDevice("pool", "a", ("left",), ("k=a",), "share")
    books = ClaimBooks(tmp_path)
    books.put([record(device, pods=frozenset({"u", "v"}))])
    again = ClaimBooks(tmp_path)
    again.load()
    assert again.get("ns", "c") == record(device, pods=frozenset({"u", "v"}))
    again.leave("u", again.of_pod("u"))
    assert again.pods() == {"v"}
    again.leave("v", again.of_pod("v"))
    books = ClaimBooks(tmp_path)
    books.load()
    assert books.pods() == frozenset()


async def test_a_driver_must_speak_a_version_that_we_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none of the supported gRPC services"):
        DraDriver("d", tmp_path / "s", ["v1alpha4.Node"])
    driver = DraDriver("d", tmp_path / "s", ["v1beta1.DRAPlugin", "v1.DRAPlugin"])
    assert driver.health is None
    await driver.close()


def describe(path: Path, *devices: Obj, **spec: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps({"kind": "v.example/c", "devices": devices, **spec}))


def test_what_cdi_names_stand_for(tmp_path: Path) -> None:
    nodes = [{"path": "/dev/x", "hostPath": "/dev/null"}, {"path": "/dev/y", "permissions": "r"}]
    mounts = [{"hostPath": "/h", "containerPath": "/c", "options": ["ro", "bind"]}]
    one = {"name": "one", "containerEdits": {"env": ["A=1=2"], "deviceNodes": nodes}}
    two = {"name": "two", "containerEdits": {"mounts": mounts}}
    describe(tmp_path / "etc" / "v.json", {"name": "one"}, containerEdits={"env": ["OLD=1"]})
    describe(tmp_path / "run" / "v.json", one, two, containerEdits={"env": ["ALL=yes"]})
    (tmp_path / "run" / "bad.json").write_text("{")
    (tmp_path / "run" / "w.yaml").write_text(
        "kind: w.example/c\ndevices: [{name: h, containerEdits: {hooks: [{path: /x}]}}]"
    )
    directories = tmp_path / "etc", tmp_path / "run", tmp_path / "none"
    found = edits_of(["v.example/c=one", "v.example/c=two"], directories)
    assert found.environment == {"ALL": "yes", "A": "1=2"}
    assert found.devices == [
        DevicePlan("/dev/null", "/dev/x", "rwm"),
        DevicePlan("/dev/y", "/dev/y", "r"),
    ]
    assert found.mounts == [MountPlan("/h", "/c", read_only=True)]
    for name, text in (
        ("v.example/c=three", "unresolvable CDI devices v.example/c=three"),
        ("three", "invalid CDI device name 'three'"),
        ("w.example/c=h", "hooks of devices need it"),
    ):
        with pytest.raises(CdiFailure, match=text):
            edits_of([name], directories)
