"""Collection, certificates, tokens, namespaces, quotas, roles: small plans."""

import base64
import hashlib
import hmac

import pytest

from sagong.api.resources import ResourceTable
from sagong.api.types import Key, Obj
from sagong.controllers.bootstrap import signer, token_cleaner
from sagong.controllers.certificates import cleaning
from sagong.controllers.core import event_expiry, namespace, resourcequota
from sagong.controllers.garbage.graph import Graph
from sagong.controllers.garbage.plan import Owner, Step, blocks, judge
from sagong.controllers.rbac import aggregation
from sagong.core.clock import format_time

from .objects import NOW, meta, pod


def owned_by(*uids: str, finalizers: tuple[str, ...] = (), block: bool = False) -> Obj:
    references = [
        {"apiVersion": "v1", "kind": "Pod", "name": u, "uid": u, "blockOwnerDeletion": block}
        for u in uids
    ]
    return {"metadata": meta("d", ownerReferences=references, finalizers=list(finalizers))}


SOLID, ABSENT, WAITING = Owner.SOLID, Owner.ABSENT, Owner.WAITING


@pytest.mark.parametrize(
    ("states", "finalizers", "dependents", "step", "policy"),
    [
        ((SOLID,), (), False, Step.KEEP, ""),
        ((ABSENT,), (), False, Step.DELETE, "Background"),
        ((ABSENT,), ("orphan",), False, Step.DELETE, "Orphan"),
        ((ABSENT,), ("foregroundDeletion",), False, Step.DELETE, "Foreground"),
        ((WAITING,), (), True, Step.DELETE, "Foreground"),
        ((WAITING,), (), False, Step.DELETE, "Background"),
        ((SOLID, ABSENT), (), False, Step.DROP_REFERENCES, ""),
        ((SOLID, WAITING), (), True, Step.DROP_REFERENCES, ""),
        ((Owner.UNKNOWN, ABSENT), (), False, Step.UNKNOWN, ""),
        ((Owner.UNRESOLVABLE,), (), False, Step.KEEP, ""),
        ((), (), False, Step.KEEP, ""),
    ],
)
def test_what_becomes_of_dependents(
    states: tuple[Owner, ...],
    finalizers: tuple[str, ...],
    dependents: bool,
    step: Step,
    policy: str,
) -> None:
    uids = [f"u{i}" for i in range(len(states))]
    found = judge(
        owned_by(*uids, finalizers=finalizers),
        dict(zip(uids, states, strict=True)),
        has_dependents=dependents,
    )
    assert (found.step, found.policy) == (step, policy)
    if step is Step.DROP_REFERENCES:
        assert [r["uid"] for r in found.references] == ["u0"]


def test_the_graph_wakes_owners_that_are_no_longer_blocked() -> None:
    graph = Graph()
    blocking, free = owned_by("u", block=True), owned_by("u")
    assert blocks(blocking, "u")
    assert not blocks(free, "u")
    (item,) = graph.change("pods", None, blocking)
    assert list(graph.dependents("u")) == [item]
    woken = graph.change("pods", blocking, free)
    assert [i.uid for i in woken] == ["uid-d", "u"]
    assert "u" in {i.uid for i in graph.change("pods", free, None)}
    assert list(graph.dependents("u")) == []


def csr(*conditions: tuple[str, float], age: float) -> Obj:
    given = [
        {"type": type_, "status": "True", "lastUpdateTime": format_time(NOW - before)}
        for type_, before in conditions
    ]
    metadata = meta("c", creationTimestamp=format_time(NOW - age))
    return {"metadata": metadata, "spec": {}, "status": {"conditions": given}}


@pytest.mark.parametrize(
    ("found", "left"),
    [
        (csr(age=3600), 23 * 3600),
        (csr(("Approved", 600), age=3600), 3000),
        (csr(("Denied", 0), age=86_000), 3600),  # its day is up sooner, but it was answered
    ],
)
def test_requests_are_kept_for_a_while(found: Obj, left: float) -> None:
    assert cleaning.plan(cleaning.Seen(found)) - NOW == left


def token(token_id: str = "abcdef", **data: str) -> Obj:
    fields = {"token-id": token_id, "token-secret": "0123456789abcdef"} | {
        k.replace("_", "-"): v for k, v in data.items()
    }
    encoded = {k: base64.b64encode(v.encode()).decode() for k, v in fields.items()}
    metadata = {"name": f"bootstrap-token-{token_id}", "namespace": "kube-system"}
    return {"metadata": metadata, "type": "bootstrap.kubernetes.io/token", "data": encoded}


@pytest.mark.parametrize(
    ("expiration", "left"),
    [("", None), (format_time(NOW + 60), 60), (format_time(NOW - 5), -5), ("soon", -NOW)],
)
def test_tokens_end(expiration: str, left: float | None) -> None:
    assert token_cleaner.plan(token_cleaner.Seen(token(expiration=expiration)), now=NOW) == left


def test_good_tokens_sign_and_others_lose_their_signature() -> None:
    good = token(usage_bootstrap_signing="true")
    ended = token("fedcba", usage_bootstrap_signing="true", expiration=format_time(NOW - 1))
    info = {"data": {"kubeconfig": "text", "jws-kubeconfig-fedcba": "old", "note": "mine"}}
    data = signer.plan(signer.Seen(info, [good, ended, token("aaaaaa")]), now=NOW)
    assert set(data) == {"kubeconfig", "note", "jws-kubeconfig-abcdef"}
    header, content, code = data["jws-kubeconfig-abcdef"].split(".")
    assert content == ""
    signed = f"{header}.{base64.urlsafe_b64encode(b'text').decode().rstrip('=')}"
    wanted = hmac.new(b"0123456789abcdef", signed.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(code + "=") == wanted


def test_an_event_lives_an_hour_after_it_was_last_seen() -> None:
    event = {"metadata": meta("e", creationTimestamp=format_time(NOW))}
    assert event_expiry.plan(event_expiry.Seen(event)) == NOW + 3600
    event["lastTimestamp"] = format_time(NOW + 50)
    assert event_expiry.plan(event_expiry.Seen(event)) == NOW + 3650


def test_what_blocks_a_namespace_is_said() -> None:
    contents = namespace.Contents(remaining={"pods.": 2}, finalizers={"x.y/z": 1})
    found = {c["type"]: c for c in namespace.plan_conditions(contents, "now")}
    remaining = found["NamespaceContentRemaining"]
    assert (remaining["status"], remaining["reason"]) == ("True", "SomeResourcesRemain")
    assert remaining["message"] == ("Some resources are remaining: pods. has 2 resource instances")
    assert found["NamespaceFinalizersRemaining"]["message"] == (
        "Some content in the namespace has finalizers remaining: x.y/z in 1 resource instances"
    )
    assert found["NamespaceDeletionContentFailure"]["status"] == "False"


def quota(hard: Obj, **more: object) -> Obj:
    return {"metadata": meta("q"), "spec": {"hard": hard, **more}, "status": {}}


def test_quotas_count_what_is_named() -> None:
    hard = {"pods": "5", "requests.cpu": "2", "count/deployments.apps": "1", "example.com/x": "1"}
    found = quota(hard)
    assert sorted(resourcequota.counted(found, ResourceTable())) == ["deployments.apps", "pods"]
    busy, ended = pod("a"), pod("b", phase="Failed")
    for one in (busy, ended):
        one["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "500m"}}
    objects = {"pods": [busy, ended], "deployments.apps": []}
    changed = resourcequota.plan(resourcequota.Seen(found), objects)
    assert changed is not None
    assert changed["status"]["hard"] == hard
    assert changed["status"]["used"] == {
        "pods": "1",
        "requests.cpu": "500m",
        "count/deployments.apps": "0",
        "example.com/x": "0",
    }
    assert resourcequota.plan(resourcequota.Seen(changed), objects) is None


def test_a_quota_gives_back_when_it_has_been_left_alone() -> None:
    """What is charged and not yet stored must not be given back under its feet."""
    calm, key = resourcequota.Calm(), Key("n", "q")
    assert calm.wait_seconds(key, "1", 100.0) == pytest.approx(0.2)
    assert calm.wait_seconds(key, "2", 100.1) == pytest.approx(0.2)
    assert calm.wait_seconds(key, "2", 100.3) == 0
    calm.forget(key)
    # Charged without a pause: after five seconds it is counted nevertheless.
    waits = [calm.wait_seconds(key, str(i), 200.0 + i / 10) for i in range(51)]
    assert waits[0] == pytest.approx(0.2)
    assert waits[-1] == 0


def role(name: str, *verbs: str, **labels: str) -> Obj:
    return {"metadata": {"name": name, "labels": labels}, "rules": [{"verbs": [v]} for v in verbs]}


def test_roles_are_gathered_in_order_and_once() -> None:
    selectors = [{"matchLabels": {"to": "x"}}, {"matchLabels": {"also": "x"}}]
    gathering = role("x") | {"aggregationRule": {"clusterRoleSelectors": selectors}}
    others = [role("b", "list", "get", to="x"), role("a", "get", to="x", also="x"), role("c", "no")]
    found = aggregation.plan(aggregation.Seen(gathering, others))
    assert [r["verbs"] for r in found] == [["get"], ["list"]]
