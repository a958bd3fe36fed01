"""Volumes attached to nodes and detached, as tables; the expansion of claims."""

from typing import Any

import pytest

from sagong.api.types import Obj
from sagong.controllers.storage import attach_detach, expansion
from sagong.controllers.storage.attach_detach import Seen, Wanted, plan
from sagong.controllers.storage.attachable import Volume, in_use_as, needs_volumes

from .objects import meta, pod

VOLUME = Volume("pv", "csi.example.com", "handle")
UNIQUE = "kubernetes.io/csi/csi.example.com^handle"
NAME = VOLUME.attachment_name("n")
POD = pod("p")
ATTACHED = {"attached": True}


def node(*, in_use: bool = False, shown: bool = False, ready: str = "True", **spec: Any) -> Obj:
    status: Obj = {"conditions": [{"type": "Ready", "status": ready}]}
    if in_use:
        status["volumesInUse"] = [UNIQUE]
    if shown:
        status["volumesAttached"] = [{"name": UNIQUE, "devicePath": ""}]
    return {"metadata": {"name": "n", "uid": "u"}, "spec": spec, "status": status}


def attachment(**status: Any) -> Obj:
    spec = {
        "nodeName": "n",
        "attacher": "csi.example.com",
        "source": {"persistentVolumeName": "pv"},
    }
    return {"metadata": meta(NAME), "spec": spec, "status": status}


def seen(
    found: Obj | None, *attachments: Obj, wanted: bool = True, elsewhere: str | None = None
) -> Seen:
    return Seen(
        found,
        {NAME: Wanted(VOLUME, [POD])} if wanted else {},
        attachments,
        {NAME: VOLUME},
        {"pv": elsewhere} if elsewhere else {},
    )


OUT = {"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]}


@pytest.mark.parametrize(
    ("case", "waited", "create", "delete", "shown"),
    [
        (seen(node()), 0, 1, 0, 0),
        (seen(node(), attachment()), 0, 0, 0, 0),
        (seen(node(), attachment(**ATTACHED)), 0, 0, 0, 1),
        (seen(node(), elsewhere="m"), 0, 0, 0, 0),
        # Nobody needs it any more.
        (seen(node(shown=True), attachment(**ATTACHED), wanted=False), 0, 0, 1, 0),
        (seen(node(in_use=True), attachment(**ATTACHED), wanted=False), 0, 0, 0, 1),
        # A healthy node may take for ever to unmount, another six minutes.
        (seen(node(in_use=True), attachment(**ATTACHED), wanted=False), 400, 0, 0, 1),
        (seen(node(in_use=True, ready="Unknown"), attachment(), wanted=False), 300, 0, 0, 0),
        (seen(node(in_use=True, ready="Unknown"), attachment(), wanted=False), 360, 0, 1, 0),
        (seen(node(in_use=True, ready="False", **OUT), attachment(), wanted=False), 0, 0, 1, 0),
        (seen(None, attachment(**ATTACHED), wanted=False), 0, 0, 1, 0),
    ],
)
def test_steps(case: Seen, waited: float, create: int, delete: int, shown: int) -> None:
    found = plan(case, unneeded_since={NAME: 1000.0 - waited}, now=1000.0)
    counts = (len(found.create), len(found.delete), len(found.attached))
    assert counts == (create, delete, shown)


def test_what_is_in_use_is_known_without_its_volume() -> None:
    assert in_use_as(attachment(), node(in_use=True)) == VOLUME
    assert in_use_as(attachment(), node()) is None
    assert in_use_as(attachment(), None) is None


def test_the_attachment_says_what_the_driver_needs() -> None:
    made = plan(seen(node()), unneeded_since={}, now=0).create[0]
    assert made["metadata"]["name"] == NAME
    assert NAME.startswith("csi-")
    assert len(NAME) == 4 + 64
    assert made["spec"] == {
        "attacher": "csi.example.com",
        "nodeName": "n",
        "source": {"persistentVolumeName": "pv"},
    }


def test_pods_are_told() -> None:
    def told(case: Seen) -> list[tuple[str, str, str]]:
        return [event[1:] for event in plan(case, unneeded_since={}, now=0).events]

    assert told(seen(node(), attachment(**ATTACHED))) == [
        ("Normal", "SuccessfulAttachVolume", 'AttachVolume.Attach succeeded for volume "pv" ')
    ]
    assert told(seen(node(shown=True), attachment(**ATTACHED))) == []
    failed = attachment(attachError={"message": "no such disk"})
    assert told(seen(node(), failed)) == [
        (
            "Warning",
            "FailedAttachVolume",
            'AttachVolume.Attach failed for volume "pv" : no such disk',
        )
    ]
    reasons = [reason for _, reason, text in told(seen(node(), elsewhere="m")) if "Multi" in text]
    assert reasons == ["FailedAttachVolume"]


def test_who_needs_volumes() -> None:
    ended = {"containerStatuses": [{"name": "main", "state": {"terminated": {"exitCode": 0}}}]}
    going = pod("p", deletionTimestamp="2026-01-01T00:00:00Z")
    assert needs_volumes(pod("p"))
    assert needs_volumes(going)
    going["status"] |= ended
    assert not needs_volumes(going)
    assert not needs_volumes(pod("p", phase="Succeeded"))


def claim(size: str, has: str = "1Gi", **status: Any) -> Obj:
    return {
        "metadata": meta("c"),
        "spec": {"resources": {"requests": {"storage": size}}, "volumeName": "pv"},
        "status": {"phase": "Bound", "capacity": {"storage": has}} | status,
    }


def volume(by: str = "sagong.dev/local") -> Obj:
    annotations = {"pv.kubernetes.io/provisioned-by": by}
    return {
        "metadata": meta("pv", annotations=annotations),
        "spec": {"capacity": {"storage": "1Gi"}},
    }


@pytest.mark.parametrize(
    ("size", "by", "step"),
    [
        ("1Gi", expansion.OURS, expansion.Step.NOTHING),
        ("2Gi", expansion.OURS, expansion.Step.EXPAND),
        ("2Gi", "csi.example.com", expansion.Step.TELL),
    ],
)
def test_expansion(size: str, by: str, step: expansion.Step) -> None:
    assert expansion.plan(expansion.Seen(claim(size), volume(by))) is step


def test_a_claim_tells_of_its_expansion() -> None:
    found = expansion.resizing(claim("2Gi"), "2Gi", "2026-01-01T00:00:00Z")
    assert [c["type"] for c in found["status"]["conditions"]] == ["Resizing"]
    assert found["status"]["allocatedResourceStatuses"] == {"storage": "ControllerResizeInProgress"}
    done = expansion.resized(found, "2Gi")["status"]
    assert done == {
        "phase": "Bound",
        "capacity": {"storage": "2Gi"},
        "allocatedResources": {"storage": "2Gi"},
    }
    assert attach_detach.CONTROLLER.component == "attachdetach-controller"
