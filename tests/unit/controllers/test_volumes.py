"""Claims and volumes: which is bound to which, what is said, what is protected."""

import pytest

from sagong.api.types import Obj
from sagong.controllers.storage import (
    attributes_protection,
    binder,
    ephemeral,
    protection,
    reclaiming,
)
from sagong.controllers.storage.binder import Step

from .objects import meta, pod


def claim(name: str = "c", *, class_: str | None = "", size: str = "1Gi", **spec: object) -> Obj:
    common: Obj = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    }
    if class_ is not None:
        common["storageClassName"] = class_
    metadata = meta(name, resourceVersion="7", annotations={})
    return {"metadata": metadata, "spec": common | spec, "status": {"phase": "Pending"}}


def volume(name: str = "v", *, size: str = "1Gi", phase: str = "Available", **spec: object) -> Obj:
    common: Obj = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": common | spec,
        "status": {"phase": phase},
    }


def ref(name: str = "c", uid: str = "") -> Obj:
    return {"namespace": "default", "name": name} | ({"uid": uid} if uid else {})


def class_(mode: str = "Immediate", provisioner: str = "x.y/p") -> Obj:
    return {
        "metadata": {"name": "fast"},
        "provisioner": provisioner,
        "volumeBindingMode": mode,
    }


def decide(found: Obj, *volumes: Obj, **more: object) -> tuple[Step, str, str]:
    """Step, volume, reason of the event."""
    wanted = found["spec"].get("volumeName")
    named = next((v for v in volumes if v["metadata"]["name"] == wanted), None)
    given: Obj = {"named_volume": named, "volumes": list(volumes), "storage_class": None}
    plan = binder.plan(binder.Seen(found, **given | more))
    name = plan.volume["metadata"]["name"] if plan.volume else ""
    return plan.step, name, plan.event.reason if plan.event else ""


def test_the_smallest_that_fits_is_bound() -> None:
    volumes = volume("big", size="9Gi"), volume("fit", size="2Gi"), volume("small", size="1Mi")
    assert decide(claim(), *volumes) == (Step.BIND, "fit", "")


def test_a_reserved_volume_comes_first() -> None:
    reserved = volume("mine", size="9Gi", claimRef=ref())
    assert decide(claim(), volume(), reserved) == (Step.BIND, "mine", "")
    assert decide(claim(), volume("other", claimRef=ref("else")))[0] is Step.PENDING


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "FailedBinding"),
        ({"class_": "gone"}, "ProvisioningFailed"),
    ],
)
def test_what_keeps_a_claim_waiting_is_said(more: Obj, reason: str) -> None:
    assert decide(claim(**more)) == (Step.PENDING, "", reason)


def test_classes_decide_who_provides_and_when() -> None:
    wanting = claim(class_="fast")
    provided = decide(wanting, storage_class=class_())
    assert provided == (Step.ASK_PROVISIONER, "", "ExternalProvisioning")
    later = class_("WaitForFirstConsumer")
    assert decide(wanting, storage_class=later) == (Step.PENDING, "", "WaitForFirstConsumer")
    wanting["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = "n"
    assert decide(wanting, storage_class=later)[0] is Step.ASK_PROVISIONER
    nobody = class_(provisioner="kubernetes.io/no-provisioner")
    assert decide(wanting, storage_class=nobody) == (Step.PENDING, "", "ProvisioningFailed")


def test_a_claim_that_names_no_class_takes_the_default() -> None:
    assert decide(claim(class_=None), default_class="fast")[0] is Step.ADOPT_CLASS


BOUND = {"pv.kubernetes.io/bind-completed": "yes"}


@pytest.mark.parametrize(
    ("bound", "found", "wanted"),
    [
        (False, volume(), (Step.BIND, "v", "")),
        (False, volume(size="1Mi"), (Step.PENDING, "", "VolumeMismatch")),
        (False, volume(claimRef=ref("else")), (Step.PENDING, "", "FailedBinding")),
        (False, volume("w"), (Step.PENDING, "", "")),
        (True, volume("w"), (Step.LOST, "", "ClaimLost")),
        (True, volume(claimRef=ref("else")), (Step.LOST, "", "ClaimMisbound")),
        (True, volume(claimRef=ref(uid="uid-c"), size="1Mi"), (Step.BIND, "v", "")),
    ],
)
def test_a_claim_that_names_its_volume(
    bound: bool, found: Obj, wanted: tuple[Step, str, str]
) -> None:
    asking = claim(volumeName="v")
    asking["metadata"]["annotations"] |= BOUND if bound else {}
    assert decide(asking, found) == wanted


@pytest.mark.parametrize(
    ("found", "there", "phase"),
    [
        (volume(phase=""), False, "Available"),
        (volume(phase="", claimRef=ref()), True, "Available"),
        (volume(phase="Bound", claimRef=ref(uid="uid-c")), True, "Bound"),
        (volume(phase="Bound", claimRef=ref(uid="uid-c")), False, "Released"),
        (volume(phase="Bound", claimRef=ref(uid="uid-old")), True, "Released"),
        (
            volume(
                phase="Bound", claimRef=ref(uid="uid-c"), persistentVolumeReclaimPolicy="Delete"
            ),
            False,
            "Failed",
        ),
    ],
)
def test_phases_of_volumes(found: Obj, there: bool, phase: str) -> None:
    seen = reclaiming.Seen(found, claim() if there else None)
    assert reclaiming.plan(seen).phase == phase


def using(*, node: str = "n", **more: object) -> Obj:
    found = pod("p", node=node, **more)
    template = {"metadata": {"labels": {"a": "b"}}, "spec": claim()["spec"]}
    found["spec"]["volumes"] = [
        {"name": "data", "persistentVolumeClaim": {"claimName": "c"}},
        {"name": "tmp", "ephemeral": {"volumeClaimTemplate": template}},
    ]
    return found


GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0}


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (using(), ["default/c", "default/p-tmp"]),
        (using(phase="Succeeded"), ["default/c", "default/p-tmp"]),
        (using(node=""), []),
        (using(**GOING), ["default/c"]),
    ],
)
def test_claims_in_use(found: Obj, wanted: list[str]) -> None:
    index = protection.CLAIM_CONTROLLER.watches[0].indexes["claim"]
    assert list(index(found)) == wanted


def test_ephemeral_claims_are_the_pods() -> None:
    found = {"apiVersion": "v1", "kind": "Pod"} | using()
    (made,) = ephemeral.plan(ephemeral.Seen(found, frozenset()))
    assert (made["metadata"]["name"], made["metadata"]["labels"]) == ("p-tmp", {"a": "b"})
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-p"
    assert ephemeral.plan(ephemeral.Seen(found, frozenset({"p-tmp"}))) == []


def test_attribute_classes_are_protected_while_named() -> None:
    seen = attributes_protection.Seen
    mark = attributes_protection.FINALIZER
    assert attributes_protection.plan(seen({"metadata": meta("a")}, False)) == [mark]
    going = {"metadata": meta("a", finalizers=[mark, "other"], **GOING)}
    assert attributes_protection.plan(seen(going, True)) is None
    assert attributes_protection.plan(seen(going, False)) == ["other"]
