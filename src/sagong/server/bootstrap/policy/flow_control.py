"""Fairness between users of an overloaded server: who shares which seats, as in Kubernetes 1.36."""

from collections.abc import Mapping

from sagong.api.types import Obj

_EVERYTHING: Obj = {
    "nonResourceRules": [{"nonResourceURLs": ["*"], "verbs": ["*"]}],
    "resourceRules": [
        {
            "apiGroups": ["*"],
            "clusterScope": True,
            "namespaces": ["*"],
            "resources": ["*"],
            "verbs": ["*"],
        }
    ],
}


def _user(name: str) -> Obj:
    return {"kind": "User", "user": {"name": name}}


def _group(name: str) -> Obj:
    return {"kind": "Group", "group": {"name": name}}


_EVERYBODY = [_group("system:unauthenticated"), _group("system:authenticated")]
_CONTROLLER_MANAGER = _user("system:kube-controller-manager")
_SCHEDULER = _user("system:kube-scheduler")
_SYSTEM_ACCOUNTS: Obj = {
    "kind": "ServiceAccount",
    "serviceAccount": {"name": "*", "namespace": "kube-system"},
}


def _schema(level: str, precedence: int, by: str, rules: Obj, *subjects: Obj) -> Obj:
    """``by``: what tells flows apart ("ByUser", "ByNamespace", or "" for one single flow)."""
    spec: Obj = {"distinguisherMethod": {"type": by}} if by else {}
    return spec | {
        "matchingPrecedence": precedence,
        "priorityLevelConfiguration": {"name": level},
        "rules": [rules | {"subjects": list(subjects)}],
    }


_LEASES: Obj = {"apiGroups": ["coordination.k8s.io"], "namespaces": ["*"], "resources": ["leases"]}
_ELECTION: Obj = {"resourceRules": [_LEASES | {"verbs": ["get", "create", "update"]}]}
_NODE_HEARTBEATS: Obj = {
    "resourceRules": [
        {
            "apiGroups": [""],
            "clusterScope": True,
            "namespaces": ["*"],
            "resources": ["nodes", "nodes/status"],
            "verbs": ["*"],
        },
        _LEASES | {"verbs": ["*"]},
    ]
}
_PROBES: Obj = {
    "nonResourceRules": [
        {"nonResourceURLs": ["/healthz", "/readyz", "/livez"], "verbs": ["get"]},
    ]
}

# Specs of FlowSchemas by name.
FLOW_SCHEMAS: Mapping[str, Obj] = {
    "exempt": _schema("exempt", 1, "", _EVERYTHING, _group("system:masters")),
    "probes": _schema("exempt", 2, "", _PROBES, *_EVERYBODY),
    "system-leader-election": _schema(
        "leader-election",
        100,
        "ByUser",
        _ELECTION,
        _CONTROLLER_MANAGER,
        _SCHEDULER,
        _SYSTEM_ACCOUNTS,
    ),
    "system-node-high": _schema(
        "node-high", 400, "ByUser", _NODE_HEARTBEATS, _group("system:nodes")
    ),
    "system-nodes": _schema("system", 500, "ByUser", _EVERYTHING, _group("system:nodes")),
    "kube-controller-manager": _schema(
        "workload-high", 800, "ByNamespace", _EVERYTHING, _CONTROLLER_MANAGER
    ),
    "kube-scheduler": _schema("workload-high", 800, "ByNamespace", _EVERYTHING, _SCHEDULER),
    "kube-system-service-accounts": _schema(
        "workload-high", 900, "ByNamespace", _EVERYTHING, _SYSTEM_ACCOUNTS
    ),
    "service-accounts": _schema(
        "workload-low", 9000, "ByUser", _EVERYTHING, _group("system:serviceaccounts")
    ),
    "global-default": _schema("global-default", 9900, "ByUser", _EVERYTHING, *_EVERYBODY),
    "catch-all": _schema("catch-all", 10000, "ByUser", _EVERYTHING, *_EVERYBODY),
}


def _queued(shares: int, lendable: int, queues: int, hand: int) -> Obj:
    """A level that queues. ``hand``: of how many queues a flow takes the shortest."""
    queuing = {"handSize": hand, "queueLengthLimit": 50, "queues": queues}
    limited = {
        "lendablePercent": lendable,
        "limitResponse": {"queuing": queuing, "type": "Queue"},
        "nominalConcurrencyShares": shares,
    }
    return {"limited": limited, "type": "Limited"}


# Specs of PriorityLevelConfigurations by name.
PRIORITY_LEVELS: Mapping[str, Obj] = {
    "exempt": {
        "exempt": {"lendablePercent": 0, "nominalConcurrencyShares": 0},
        "type": "Exempt",
    },
    "node-high": _queued(40, 25, queues=64, hand=6),
    "system": _queued(30, 33, queues=64, hand=6),
    "leader-election": _queued(10, 0, queues=16, hand=4),
    "workload-high": _queued(40, 50, queues=128, hand=6),
    "workload-low": _queued(100, 90, queues=128, hand=6),
    "global-default": _queued(20, 50, queues=128, hand=6),
    "catch-all": {
        "limited": {
            "lendablePercent": 0,
            "limitResponse": {"type": "Reject"},
            "nominalConcurrencyShares": 5,
        },
        "type": "Limited",
    },
}
# The two without which the server cannot sort its requests: always put back.
MANDATORY = frozenset({"exempt", "catch-all"})
