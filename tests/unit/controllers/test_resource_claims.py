"""ResourceClaims: made from templates, told to pods, reserved, released."""

from typing import Any

import pytest

from sagong.api.types import Obj
from sagong.controllers.resource import claim_making, claim_release
from sagong.controllers.resource.claims import PROTECTION

from .objects import meta, pod

TEMPLATE = {
    "metadata": meta("gpu"),
    "spec": {"metadata": {"labels": {"a": "b"}}, "spec": {"devices": {"requests": []}}},
}


def wanting(*, told: str | None = None, node: str = "", **entry: str) -> Obj:
    made = pod("p", node=node)
    entry = entry or {"resourceClaimTemplateName": "gpu"}
    made["spec"]["resourceClaims"] = [{"name": "dev"} | entry]
    if told is not None:
        status = {"name": "dev"} | ({"resourceClaimName": told} if told else {})
        made["status"]["resourceClaimStatuses"] = [status]
    return made


def claim(name: str = "c", owner: str = "uid-p", **status: Any) -> Obj:
    ref = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": owner, "controller": True}
    annotations = {"resource.kubernetes.io/pod-claim-name": "dev"}
    return {
        "metadata": meta(name, ownerReferences=[ref], annotations=annotations),
        "spec": {},
        "status": status,
    }


def steps(seen: claim_making.Seen) -> tuple[list[str], dict[str, str], int, list[str]]:
    found = claim_making.plan(seen)
    return list(found.create), dict(found.found), len(found.reserve), list(found.problems)


ALLOCATED = {"allocation": {"devices": {}}}


@pytest.mark.parametrize(
    ("pod_", "made", "templates", "claims", "wanted"),
    [
        (wanting(), {}, {"gpu": TEMPLATE}, {}, (["dev"], {}, 0, [])),
        (wanting(), {}, {}, {}, ([], {}, 0, ["dev"])),
        (wanting(), {"dev": claim()}, {"gpu": TEMPLATE}, {}, ([], {"dev": "c"}, 0, [])),
        (wanting(told="c"), {}, {"gpu": TEMPLATE}, {"c": claim()}, ([], {}, 0, [])),
        (wanting(told="c"), {}, {"gpu": TEMPLATE}, {}, (["dev"], {}, 0, [])),
        (wanting(told=""), {}, {"gpu": TEMPLATE}, {}, ([], {}, 0, [])),
        (wanting(resourceClaimName="c"), {}, {}, {}, ([], {}, 0, [])),
        # Bound past the scheduler: we reserve, once it is allocated.
        (wanting(told="c", node="n"), {}, {}, {"c": claim()}, ([], {}, 0, [])),
        (wanting(told="c", node="n"), {}, {}, {"c": claim(**ALLOCATED)}, ([], {}, 1, [])),
        (
            wanting(told="c", node="n"),
            {},
            {},
            {"c": claim(owner="x", **ALLOCATED)},
            ([], {}, 0, []),
        ),
        (
            wanting(told="c", node="n"),
            {},
            {},
            {"c": claim(reservedFor=[{"resource": "pods", "uid": "uid-p"}], **ALLOCATED)},
            ([], {}, 0, []),
        ),
    ],
)
def test_making(pod_: Obj, made: Any, templates: Any, claims: Any, wanted: Any) -> None:
    assert steps(claim_making.Seen(pod_, made, templates, claims)) == wanted


def test_a_made_claim_has_what_its_template_says() -> None:
    made = claim_making.new_claim(wanting(), "dev", TEMPLATE)
    metadata = made["metadata"]
    assert metadata["generateName"] == "p-dev-"
    assert metadata["labels"] == {"a": "b"}
    assert metadata["annotations"] == {"resource.kubernetes.io/pod-claim-name": "dev"}
    assert metadata["ownerReferences"][0]["uid"] == "uid-p"
    assert made["spec"] == {"devices": {"requests": []}}
    long = wanting()
    long["metadata"]["name"] = "p" * 60
    base = claim_making.new_claim(long, "e" * 60, TEMPLATE)["metadata"]["generateName"]
    assert len(base) == 57
    assert "p-e" in base


USERS = [{"resource": "pods", "name": "p", "uid": "u1"}, {"resource": "pods", "uid": "u2"}]


def released(found: Obj, *gone: str, over: bool = False) -> tuple[Any, bool, bool]:
    decided = claim_release.plan(claim_release.Seen(found, set(gone), over))
    return decided.status, decided.unprotect, decided.delete


def test_users_that_are_gone_are_taken_out() -> None:
    found = claim(reservedFor=USERS, **ALLOCATED)
    found["metadata"]["finalizers"] = [PROTECTION]
    assert released(found) == (None, False, False)
    assert released(found, "u1") == (ALLOCATED | {"reservedFor": USERS[1:]}, False, False)
    # The last one frees the devices.
    assert released(found, "u1", "u2") == ({}, True, False)
    assert released(found, "u1", "u2", over=True) == ({}, True, True)
    # Another driver's allocation is not ours to free.
    found["metadata"]["finalizers"] = []
    assert released(found, "u1", "u2") == (ALLOCATED, False, False)


def test_a_deleted_claim_is_freed_when_nobody_uses_it() -> None:
    found = claim(**ALLOCATED)
    found["metadata"] |= {"finalizers": [PROTECTION], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert released(found, over=True) == ({}, True, False)
    found["metadata"].pop("deletionTimestamp")
    # Allocated and not yet used: the scheduler is at work.
    assert released(found) == (None, False, False)
