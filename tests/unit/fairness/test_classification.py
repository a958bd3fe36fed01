"""The schemas of a new cluster, and others: which flow a request belongs to."""

import math
from typing import Any

import pytest

from sagong.api.types import User
from sagong.server.authz.interface import Attributes
from sagong.server.bootstrap.policy.flow_control import FLOW_SCHEMAS, PRIORITY_LEVELS
from sagong.server.fairness.classification import configuration

OBJECTS = [
    [
        {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": spec}
        for name, spec in specs.items()
    ]
    for specs in (FLOW_SCHEMAS, PRIORITY_LEVELS)
]
NEW_CLUSTER = configuration(*OBJECTS, seats=600)


def asked(name: str, *groups: str, verb: str = "get", **parts: Any) -> Attributes:
    user = User(name, groups=(*groups, "system:authenticated"))
    return Attributes(user, verb, **{"resource": "pods", "namespace": "default", **parts})


NODE = ("system:node:a", "system:nodes")
LEASE = {"resource": "leases", "group": "coordination.k8s.io", "namespace": "kube-node-lease"}


@pytest.mark.parametrize(
    ("request_", "schema", "key"),
    [
        (asked("root", "system:masters"), "exempt", ""),
        (asked("ann", resource="", path="/healthz", is_resource=False), "probes", ""),
        (asked("ann"), "global-default", "ann"),
        (asked("ann", resource="", path="/version", is_resource=False), "global-default", "ann"),
        (asked(*NODE), "system-nodes", "system:node:a"),
        (asked(*NODE, resource="nodes", subresource="status", namespace=""), "system-node-high",
         "system:node:a"),
        (asked(*NODE, **LEASE), "system-node-high", "system:node:a"),
        (asked("system:kube-scheduler"), "kube-scheduler", "default"),
        (asked("system:kube-controller-manager", verb="update", **LEASE),
         "system-leader-election", "system:kube-controller-manager"),
        (asked("system:serviceaccount:kube-system:x", "system:serviceaccounts"),
         "kube-system-service-accounts", "default"),
        (asked("system:serviceaccount:a:x", "system:serviceaccounts"), "service-accounts",
         "system:serviceaccount:a:x"),
    ],
)  # fmt: skip
def test_requests_of_a_new_cluster(request_: Attributes, schema: str, key: str) -> None:
    flow = NEW_CLUSTER.flow_of(request_)
    assert flow is not None
    assert flow.schema.name == schema
    if schema.startswith(("system", "global", "service")):
        assert flow.key == key


def test_seats_are_shared_by_shares() -> None:
    seats = {name: level.seats for name, level in NEW_CLUSTER.levels.items()}
    shares = {name: spec.get("limited", {}).get("nominalConcurrencyShares", 0)
              for name, spec in PRIORITY_LEVELS.items()}  # fmt: skip
    assert seats["exempt"] is None
    whole = sum(shares.values())
    assert seats["workload-low"] == math.ceil(600 * shares["workload-low"] / whole)


def test_a_schema_of_a_missing_level_does_not_count() -> None:
    (first, *_), levels = OBJECTS
    spec = {**first["spec"], "priorityLevelConfiguration": {"name": "nope"}}
    found = configuration([{**first, "spec": spec}], levels, seats=600)
    assert found.flow_of(asked("x", "system:masters")) is None
