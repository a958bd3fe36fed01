"""RBAC: tables from upstream's rules, and any policy against a plain reading of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagong.api.types import Obj, User
from sagong.server.authz.interface import Attributes, Effect
from sagong.server.authz.rbac import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    RbacAuthorizer,
)
from sagong.server.authz.refusal import refusal
from sagong.server.authz.rules import Rule, compact, describe, split, uncovered, url_matches
from sagong.server.authz.union import UnionAuthorizer

from .objects import Objects

ALICE = User("alice", groups=("dev", "system:authenticated"))


def rule(verbs: str, groups: str, resources: str, *names: str) -> Obj:
    made: Obj = {"verbs": verbs.split(), "apiGroups": groups.split(",")}
    made["resources"] = resources.split()
    return made | {"resourceNames": list(names)} if names else made


def role(name: str, *rules: Obj, namespace: str = "") -> Obj:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"metadata": metadata, "rules": list(rules)}


def binding(name: str, ref: str, *subjects: Obj, namespace: str = "") -> Obj:
    kind, _, role_name = ref.partition("/")
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    role_ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role_name}
    return {"metadata": metadata, "roleRef": role_ref, "subjects": list(subjects)}


def subject(kind: str, name: str, namespace: str = "") -> Obj:
    return {"kind": kind, "name": name} | ({"namespace": namespace} if namespace else {})


def asked(user: User, verb: str, resource: str, **fields: Any) -> Attributes:
    return Attributes(user=user, verb=verb, resource=resource, **fields)


async def test_reasons_read_as_upstreams() -> None:
    objects = Objects()
    objects.put(CLUSTER_ROLES, role("reader", rule("get list", "", "pods pods/log")))
    objects.put(CLUSTER_ROLE_BINDINGS, binding("a", "ClusterRole/reader", subject("Group", "dev")))
    robot = subject("ServiceAccount", "robot")
    objects.put(ROLES, role("writer", rule("create", "", "pods"), namespace="one"))
    objects.put(ROLE_BINDINGS, binding("b", "Role/writer", robot, namespace="one"))
    rbac = RbacAuthorizer(objects)

    decision = await rbac.authorize(asked(ALICE, "list", "pods", namespace="x"))
    assert decision.effect is Effect.ALLOW
    why = 'RBAC: allowed by ClusterRoleBinding "a" of ClusterRole "reader" to Group "dev"'
    assert decision.reason == why

    account = User("system:serviceaccount:one:robot")
    decision = await rbac.authorize(asked(account, "create", "pods", namespace="one"))
    why = 'RBAC: allowed by RoleBinding "b/one" of Role "writer" to ServiceAccount "robot/one"'
    assert decision.reason == why
    for elsewhere in ("two", ""):
        decision = await rbac.authorize(asked(account, "create", "pods", namespace=elsewhere))
        assert decision.effect is Effect.NO_OPINION


async def test_a_change_counts_at_once() -> None:
    objects = Objects()
    rbac = RbacAuthorizer(objects)
    question = asked(ALICE, "get", "pods", name="p", namespace="x")
    assert (await rbac.authorize(question)).effect is Effect.NO_OPINION
    objects.put(CLUSTER_ROLE_BINDINGS, binding("a", "ClusterRole/r", subject("User", "alice")))
    decision = await rbac.authorize(question)
    assert decision.effect is Effect.NO_OPINION
    why = 'RBAC: clusterrole.rbac.authorization.k8s.io "r" not found'
    assert decision.reason == why
    objects.put(CLUSTER_ROLES, role("r", rule("*", "*", "*")))
    assert (await rbac.authorize(question)).effect is Effect.ALLOW
    objects.remove(CLUSTER_ROLE_BINDINGS, "", "a")
    assert (await rbac.authorize(question)).effect is Effect.NO_OPINION


@pytest.mark.parametrize(
    ("given_rule", "fields", "allowed"),
    [
        (rule("get", "", "pods"), {"name": "a"}, True),
        (rule("get", "apps", "pods"), {"name": "a"}, False),
        (rule("get", "", "pods", "a", "b"), {"name": "b"}, True),
        (rule("get", "", "pods", "a"), {"name": ""}, False),
        (rule("get", "", "pods/log"), {}, False),
        (rule("get", "", "pods"), {"subresource": "log"}, False),
        (rule("get", "", "pods/log"), {"subresource": "log"}, True),
        (rule("get", "", "*/log"), {"subresource": "log"}, True),
        (rule("get", "", "pods/*"), {"subresource": "log"}, False),
        (rule("get", "", "*"), {"subresource": "log"}, True),
        (rule("*", "*", "*"), {"subresource": "log", "group": "apps"}, True),
        ({"verbs": ["get"], "nonResourceURLs": ["*"]}, {}, False),
    ],
)
def test_rules(given_rule: Obj, fields: dict[str, str], allowed: bool) -> None:
    assert Rule.of(given_rule).allows(asked(ALICE, "get", "pods", **fields)) is allowed


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*", "/x", True),
        ("/healthz", "/healthz", True),
        ("/healthz", "/healthz/ping", False),
        ("/healthz/*", "/healthz/ping", True),
        ("/healthz/*", "/healthz", False),
        ("/a*b", "/axb", False),
    ],
)
def test_urls(pattern: str, path: str, matches: bool) -> None:
    assert url_matches(pattern, path) is matches


async def test_privileged_group_needs_no_policy() -> None:
    union = UnionAuthorizer([RbacAuthorizer(Objects())])
    root = User("root", groups=("system:masters",))
    assert (await union.authorize(asked(root, "delete", "nodes"))).effect is Effect.ALLOW
    assert (await union.authorize(asked(ALICE, "get", "nodes"))).effect is Effect.NO_OPINION


def test_refusals_read_as_upstreams() -> None:
    error = refusal(asked(User("x"), "list", "pods", namespace="default"))
    assert error.message == (
        'pods is forbidden: User "x" cannot list resource "pods" in API group ""'
        ' in the namespace "default"'
    )
    assert error.details == {"kind": "pods"}

    question = asked(User("x"), "get", "deployments", group="apps", subresource="scale", name="d")
    error = refusal(question, "no")
    assert error.message == (
        'deployments.apps "d" is forbidden: User "x" cannot get resource "deployments/scale"'
        ' in API group "apps" at the cluster scope: no'
    )
    assert error.details == {"name": "d", "group": "apps", "kind": "deployments"}

    error = refusal(Attributes(User("x"), "get", path="/metrics", is_resource=False))
    assert error.message == 'forbidden: User "x" cannot get path "/metrics"'


def test_what_is_not_held_is_named_compactly() -> None:
    held = [rule("get list", "", "pods"), rule("*", "apps", "*/scale")]
    wanted = [rule("get delete watch", "", "pods secrets"), rule("update", "apps", "x/scale")]
    missing = [describe(r) for r in compact(uncovered(held, wanted))]
    assert missing == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "watch"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete" "watch"]}',
    ]


WORDS = st.sampled_from(["a", "b", "*"])
RESOURCES = st.sampled_from(["pods", "pods/log", "*/log", "nodes", "*"])
POLICY_RULES = st.builds(
    lambda verbs, groups, resources, names: {
        "verbs": verbs,
        "apiGroups": groups,
        "resources": resources,
        **({"resourceNames": names} if names else {}),
    },
    st.lists(WORDS, min_size=1, max_size=2, unique=True),
    st.lists(WORDS, min_size=1, max_size=2, unique=True),
    st.lists(RESOURCES, min_size=1, max_size=2, unique=True),
    st.lists(st.sampled_from(["n", "m"]), max_size=2, unique=True),
)
QUESTIONS = st.builds(
    lambda verb, group, resource, sub, name, namespace: asked(
        ALICE,
        verb,
        resource,
        group=group,
        subresource=sub,
        name=name,
        namespace=namespace,
    ),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["pods", "nodes"]),
    st.sampled_from(["", "log"]),
    st.sampled_from(["", "n", "m"]),
    st.sampled_from(["", "one", "two"]),
)
# (rule, subject kind and name, namespace of the binding or "" for cluster-wide)
GRANTS = st.lists(
    st.tuples(
        POLICY_RULES,
        st.sampled_from([("User", "alice"), ("User", "bob"), ("Group", "dev"), ("Group", "ops")]),
        st.sampled_from(["", "one", "two"]),
    ),
    max_size=5,
)


def plainly_allows(rule: Obj, question: Attributes) -> bool:
    """The documentation's words, one after the other."""
    target = question.resource + (f"/{question.subresource}" if question.subresource else "")
    accepted = {"*", target}
    if question.subresource:
        accepted.add(f"*/{question.subresource}")
    names = rule.get("resourceNames", [])
    return (
        any(v in ("*", question.verb) for v in rule["verbs"])
        and any(g in ("*", question.group) for g in rule["apiGroups"])
        and any(r in accepted for r in rule["resources"])
        and (not names or question.name in names)
    )


@given(GRANTS, QUESTIONS)
async def test_any_policy_against_a_plain_reading(grants: list[Any], question: Attributes) -> None:
    objects = Objects()
    for number, (given_rule, (kind, name), namespace) in enumerate(grants):
        objects.put(CLUSTER_ROLES, role(f"r{number}", given_rule))
        target = ROLE_BINDINGS if namespace else CLUSTER_ROLE_BINDINGS
        who = subject(kind, name)
        ref = f"ClusterRole/r{number}"
        objects.put(target, binding(f"b{number}", ref, who, namespace=namespace))

    expected = any(
        (kind, name) in {("User", "alice"), ("Group", "dev")}
        and namespace in ("", question.namespace)
        and plainly_allows(given_rule, question)
        for given_rule, (kind, name), namespace in grants
    )
    decision = await RbacAuthorizer(objects).authorize(question)
    assert (decision.effect is Effect.ALLOW) is expected


@given(st.lists(POLICY_RULES, max_size=3), POLICY_RULES, QUESTIONS)
def test_covered_rules_allow_nothing_new(
    held: list[Obj], wanted: Obj, question: Attributes
) -> None:
    """If nothing of a rule is uncovered, whatever it allows was allowed before."""
    if uncovered(held, [wanted]):
        return
    if plainly_allows(wanted, question):
        assert any(plainly_allows(rule, question) for rule in held)


@given(POLICY_RULES)
def test_a_rule_covers_itself_and_its_parts(wanted: Obj) -> None:
    assert uncovered([wanted], [wanted]) == []
    assert uncovered([wanted], split(wanted)) == []
