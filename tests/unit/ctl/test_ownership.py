"""Adoption and release, slow starts, and template hashes."""

import re

import pytest
from plain_server import PlainServer

from sagong.api.errors import Conflict, Forbidden
from sagong.api.meta import labels_of, owner_references_of
from sagong.api.types import Obj
from sagong.ctl.ownership import Started, claim, plan_claims, slow_start, template_hash

SETS = "replicasets.apps"


def pod(name: str, *, app: str = "web", owner: str = "", deleting: bool = False) -> Obj:
    meta: Obj = {"name": name, "namespace": "n", "labels": {"app": app}, "uid": f"uid-{name}"}
    if owner:
        meta["ownerReferences"] = [{"uid": owner, "controller": True, "name": "x", "kind": "R"}]
    if deleting:
        meta["deletionTimestamp"] = "2023-01-01T00:00:00Z"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta}


def owner(*, uid: str = "me", deleting: bool = False) -> Obj:
    meta: Obj = {"name": "o", "namespace": "n", "uid": uid}
    if deleting:
        meta["deletionTimestamp"] = "2023-01-01T00:00:00Z"
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta}


def is_web(obj: Obj) -> bool:
    return labels_of(obj).get("app") == "web"


PODS = [
    pod("mine", owner="me"),
    pod("mine-no-more", owner="me", app="db"),
    pod("theirs", owner="them"),
    pod("orphan"),
    pod("other-orphan", app="db"),
    pod("dying-orphan", deleting=True),
    pod("mine-dying", owner="me", deleting=True),
]


@pytest.mark.parametrize(
    ("of", "kept", "adopt", "release"),
    [
        (owner(), {"mine", "mine-dying"}, {"orphan"}, {"mine-no-more"}),
        (owner(deleting=True), {"mine", "mine-dying"}, set(), set()),
        (owner(uid="nobody"), set(), {"orphan"}, set()),
    ],
)
def test_plan(of: Obj, kept: set[str], adopt: set[str], release: set[str]) -> None:
    def names(objects: object) -> set[str]:
        return {o["metadata"]["name"] for o in objects}  # type: ignore[attr-defined]

    claims = plan_claims(of, PODS, is_web)
    assert (names(claims.kept), names(claims.adopt), names(claims.release)) == (
        kept,
        adopt,
        release,
    )


async def test_claim_adopts_and_releases() -> None:
    client = PlainServer().client()
    me = await client.create(SETS, owner())
    orphan = await client.create("pods", pod("orphan"))
    lost = await client.create("pods", pod("lost", owner=me["metadata"]["uid"], app="db"))
    await client.create("pods", pod("gone"))
    await client.delete("pods", "gone", namespace="n")
    owned = await claim(client, SETS, me, "pods", [orphan, lost, pod("gone")], is_web)
    assert [o["metadata"]["name"] for o in owned] == ["orphan"]
    assert owner_references_of(owned[0]) == [
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "o",
            "uid": me["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert owner_references_of(await client.get("pods", "lost", namespace="n")) == []


@pytest.mark.parametrize("live", [owner(uid="another"), owner(deleting=True)])
async def test_the_owner_is_looked_at_again_before_adopting(live: Obj) -> None:
    client = PlainServer().client()
    stored = await client.create(SETS, live)
    me = owner(uid="me" if live["metadata"]["uid"] == "another" else stored["metadata"]["uid"])
    orphan = await client.create("pods", pod("orphan"))
    with pytest.raises(Conflict):
        await claim(client, SETS, me, "pods", [orphan], is_web)
    assert owner_references_of(await client.get("pods", "orphan", namespace="n")) == []


async def test_slow_start_doubles_and_stops() -> None:
    done: list[int] = []

    def action(number: int, *, fails: bool = False) -> object:
        async def act() -> None:
            if fails:
                raise Forbidden("quota")
            done.append(number)

        return act

    started = await slow_start([action(n) for n in range(10)])  # type: ignore[misc]
    assert started == Started(10, None)
    assert sorted(done) == list(range(10))
    done.clear()
    started = await slow_start([action(n, fails=n >= 4) for n in range(50)])  # type: ignore[misc]
    assert started.succeeded == 4
    assert isinstance(started.failure, Forbidden)
    assert await slow_start([]) == Started(0, None)


def test_template_hash() -> None:
    template = {"spec": {"containers": [{"name": "c"}]}, "metadata": {"labels": {"a": "b"}}}
    turned = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}
    assert template_hash(template) == template_hash(turned)
    hashes = {template_hash(template, count) for count in (None, 0, 1, 2)}
    assert len(hashes) == 4
    assert all(re.fullmatch("[bcdfghjklmnpqrstvwxz2456789]{1,10}", text) for text in hashes)
