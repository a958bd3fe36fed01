"""Audit policies: the first rule that holds decides."""

import pytest

from sagong.api.types import User
from sagong.server.audit.policy import BadPolicy, Decision, Level, Stage, parse
from sagong.server.authz.interface import Attributes

USER = User("ann", groups=("developers", "system:authenticated"))


def policy(*rules: dict, **more: object) -> dict:
    return {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}


def asked(verb: str = "get", **parts: str) -> Attributes:
    return Attributes(USER, verb, **{"resource": "pods", "namespace": "default", **parts})  # type: ignore[arg-type]


PATH = Attributes(USER, "get", path="/healthz/etcd", is_resource=False)


@pytest.mark.parametrize(
    ("rule", "request_", "holds"),
    [
        ({}, asked(), True),
        ({"users": ["ann"]}, asked(), True),
        ({"users": ["bob"]}, asked(), False),
        ({"userGroups": ["bobs", "developers"]}, asked(), True),
        ({"verbs": ["list"]}, asked(), False),
        ({"namespaces": ["default"]}, asked(), True),
        ({"namespaces": [""]}, asked(namespace=""), True),
        ({"namespaces": ["default"]}, PATH, False),
        ({"resources": [{"group": ""}]}, asked(), True),
        ({"resources": [{"group": "apps"}]}, asked(), False),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, asked(subresource="log"), False),
        ({"resources": [{"group": "", "resources": ["pods/log"]}]}, asked(subresource="log"), True),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, asked(subresource="log"), True),
        ({"resources": [{"group": "", "resources": ["*/log"]}]}, asked(subresource="log"), True),
        ({"resources": [{"group": "", "resources": ["*/log"]}]}, asked(), False),
        ({"resources": [{"group": "", "resources": ["*"]}]}, asked(subresource="log"), True),
        (
            {"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["a"]}]},
            asked(name="a"),
            True,
        ),
        (
            {"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["a"]}]},
            asked(name="b"),
            False,
        ),
        ({"nonResourceURLs": ["/healthz*"]}, PATH, True),
        ({"nonResourceURLs": ["/healthz"]}, PATH, False),
        ({"nonResourceURLs": ["/healthz*"]}, asked(), False),
    ],
)
def test_which_requests_a_rule_is_for(rule: dict, request_: Attributes, holds: bool) -> None:
    found = parse(policy({"level": "Metadata", **rule})).decide(request_)
    assert found.level == (Level.METADATA if holds else Level.NONE)


def test_the_first_rule_decides_and_stages_add_up() -> None:
    rules = (
        {"level": "None", "users": ["bob"]},
        {"level": "Request", "omitStages": ["RequestReceived"], "omitManagedFields": False},
        {"level": "RequestResponse"},
    )
    found = parse(policy(*rules, omitStages=["Panic"], omitManagedFields=True)).decide(asked())
    omitted = frozenset((Stage.PANIC, Stage.REQUEST_RECEIVED))
    assert found == Decision(Level.REQUEST, omitted, without_managed_fields=False)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ([], "no object"),
        ({"kind": "Policy", "apiVersion": "v1"}, "want kind Policy"),
        (policy(), "0 rules"),
        (policy({"level": "All"}), "rules[0].level"),
        (policy({"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["b"]}), "both"),
        (policy({"level": "None", "omitStages": ["Later"]}), "Later"),
        (policy({"level": "None", "users": "ann"}), "rules[0].users"),
    ],
)
def test_what_is_no_policy(bad: object, why: str) -> None:
    with pytest.raises(BadPolicy) as told:
        parse(bad)
    assert why in str(told.value)
