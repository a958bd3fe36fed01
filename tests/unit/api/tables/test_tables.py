"""Columns as genuine Kubernetes has them, and the cells that users read most."""

from typing import Any

import pytest

from sagong.api.resources import BUILT_IN
from sagong.api.tables.cells import human_duration, selector
from sagong.api.tables.table import table_of

NOW = 1_800_000_000.0
BY_NAME = {resource.name: resource for resource in BUILT_IN}
# Upstream sends an age that its definitions have no column for; kubectl leaves it out.
CELLS_PAST_COLUMNS = {"ipaddresses.networking.k8s.io": 1}


def cells(resource: str, obj: dict[str, Any]) -> list[Any]:
    obj.setdefault("metadata", {"name": "a", "creationTimestamp": "2027-01-15T07:59:00Z"})
    table = table_of(BY_NAME[resource], [obj], now=NOW)
    columns = len(table["columnDefinitions"]) + CELLS_PAST_COLUMNS.get(resource, 0)
    assert columns == len(table["rows"][0]["cells"])
    found: list[Any] = table["rows"][0]["cells"]
    return found


@pytest.mark.parametrize(
    "resource", [r for r in BUILT_IN if "list" in r.verbs], ids=lambda r: r.name
)
def test_every_kind_fills_its_columns(resource: Any) -> None:
    empty: dict[str, Any] = {"metadata": {"name": "a"}, "spec": {}, "status": {}}
    table = table_of(resource, [empty], now=NOW)
    columns = len(table["columnDefinitions"]) + CELLS_PAST_COLUMNS.get(resource.name, 0)
    assert columns == len(table["rows"][0]["cells"])


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (9 * 3600, "9h"),
        (2 * 86400, "2d"),
        (2 * 86400 + 3600, "2d1h"),
        (8 * 86400, "8d"),
        (3 * 365 * 86400 + 86400, "3y1d"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert human_duration(seconds) == shown


def test_selector_sorts_and_writes_expressions() -> None:
    value = {
        "matchLabels": {"b": "1"},
        "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["y", "x"]},
            {"key": "c", "operator": "DoesNotExist"},
        ],
    }
    assert selector(value) == "a in (x,y),b=1,!c"
    assert selector({}) == "<none>"


def pod(**status: Any) -> dict[str, Any]:
    return {
        "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "n1"},
        "status": status,
    }


def test_running_pod() -> None:
    status = {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "containerStatuses": [
            {
                "name": "c",
                "ready": True,
                "restartCount": 2,
                "state": {"running": {}},
                "lastState": {"terminated": {"finishedAt": "2027-01-15T07:58:00Z"}},
            }
        ],
    }
    assert cells("pods", pod(**status)) == [
        "a", "1/1", "Running", "2 (2m ago)", "60s", "10.0.0.1", "n1", "<none>", "<none>",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ({"waiting": {"reason": "CrashLoopBackOff"}}, "CrashLoopBackOff"),
        ({"terminated": {"reason": "Error", "exitCode": 1}}, "Error"),
        ({"terminated": {"exitCode": 3}}, "ExitCode:3"),
        ({"terminated": {"signal": 9, "exitCode": 137}}, "Signal:9"),
    ],
)
def test_pod_reason_comes_from_its_container(state: dict[str, Any], shown: str) -> None:
    status = {"phase": "Running", "containerStatuses": [{"name": "c", "state": state}]}
    assert cells("pods", pod(**status))[2] == shown


def test_pod_waits_for_its_init_containers() -> None:
    waiting = pod(
        phase="Pending",
        initContainerStatuses=[{"name": "i", "state": {"running": {}}}],
    )
    waiting["spec"]["initContainers"] = [{"name": "i"}, {"name": "j"}]
    assert cells("pods", waiting)[2] == "Init:0/2"


def test_deleted_pod_is_terminating() -> None:
    gone = pod(phase="Running")
    gone["metadata"] = {"name": "a", "deletionTimestamp": "2027-01-15T07:59:00Z"}
    assert cells("pods", gone)[2] == "Terminating"


def test_service_ports_and_addresses() -> None:
    service = {
        "spec": {
            "type": "NodePort",
            "clusterIP": "10.96.0.1",
            "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}],
            "selector": {"app": "web"},
        }
    }
    assert cells("services", service)[1:5] == [
        "NodePort", "10.96.0.1", "<none>", "80:30080/TCP",
    ]  # fmt: skip
    assert cells("services", service)[6] == "app=web"


def test_node_status_and_roles() -> None:
    node = {
        "metadata": {
            "name": "n",
            "labels": {"node-role.kubernetes.io/control-plane": ""},
        },
        "spec": {"unschedulable": True},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert cells("nodes", node)[:3] == ["n", "Ready,SchedulingDisabled", "control-plane"]


def test_autoscaler_targets() -> None:
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"averageUtilization": 80}},
    }
    current = {
        "type": "Resource",
        "resource": {"name": "cpu", "current": {"averageUtilization": 4}},
    }
    scaler = {
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "metrics": [metric]},
        "status": {"currentMetrics": [current]},
    }
    assert cells("horizontalpodautoscalers.autoscaling", scaler)[2] == "cpu: 4%/80%"


def test_pod_counts_restarts_past_initialisation() -> None:
    ended = {"exitCode": 1, "finishedAt": "2027-01-15T07:55:00Z"}
    init = {"name": "i", "restartCount": 4, "state": {"terminated": {"exitCode": 0}}}
    found = cells(
        "pods",
        {
            "spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]},
            "status": {
                "phase": "Running",
                "initContainerStatuses": [init | {"lastState": {"terminated": ended}}],
                "containerStatuses": [
                    {"name": "c", "ready": True, "restartCount": 2, "state": {"running": {}}}
                ],
            },
        },
    )
    assert found[1:4] == ["1/1", "Running", "2"]


@pytest.mark.parametrize(
    ("phase", "said"),
    [("Succeeded", "The pod has completed successfully."), ("Failed", "The pod failed.")],
)
def test_a_finished_pod_has_a_row_condition(phase: str, said: str) -> None:
    ended = {"metadata": {"name": "a"}, "spec": {"containers": []}, "status": {"phase": phase}}
    row = table_of(BY_NAME["pods"], [ended], now=NOW)["rows"][0]
    expected = {"type": "Completed", "status": "True", "reason": phase, "message": said}
    assert row["conditions"] == [expected]
    running = ended | {"status": {"phase": "Running"}}
    assert "conditions" not in table_of(BY_NAME["pods"], [running], now=NOW)["rows"][0]


def test_flow_schemas_are_shown_by_precedence() -> None:
    schemas = [
        {"metadata": {"name": name}, "spec": {"matchingPrecedence": precedence}}
        for name, precedence in (("a", 900), ("c", 100), ("b", 100))
    ]
    table = table_of(BY_NAME["flowschemas.flowcontrol.apiserver.k8s.io"], schemas, now=NOW)
    assert [row["cells"][0] for row in table["rows"]] == ["b", "c", "a"]


def _some_rules(*hosts: str) -> dict[str, Any]:
    return {"spec": {"rules": [{"host": host} if host else {} for host in hosts]}}


_SLICE: dict[str, Any] = {"addressType": "IPv4", "endpoints": []}
_SELECTOR = {
    "matchLabels": {"b": "2", "a": "1"},
    "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}],
}


@pytest.mark.parametrize(
    ("resource", "index", "obj", "shown"),
    [
        ("ingresses.networking.k8s.io", 2, _some_rules("a", "b", "c", ""), "a,b,c + 1 more..."),
        ("ingresses.networking.k8s.io", 2, _some_rules("a", "", "b"), "a,b"),
        ("ingresses.networking.k8s.io", 2, _some_rules("", ""), "*"),
        ("ingresses.networking.k8s.io", 2, _some_rules("", "a", "b", "c"), "a,b,c"),
        ("endpoints", 1, {}, "<none>"),
        ("endpoints", 1, {"subsets": [{"ports": [{"port": 80}]}]}, ""),
        (
            "endpoints",
            1,
            {
                "subsets": [
                    {"addresses": [{"ip": "1.1.1.1"}]},
                    {"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 80}]},
                ]
            },
            "1.1.1.1,[fd00::1]:80",
        ),
        (
            "endpointslices.discovery.k8s.io",
            2,
            _SLICE | {"ports": [{"port": 80}, {"name": "web"}, {}]},
            "80,web,*",
        ),
        ("endpointslices.discovery.k8s.io", 2, _SLICE | {"ports": []}, "<unset>"),
        (
            "ipaddresses.networking.k8s.io",
            1,
            {"spec": {"parentRef": {"resource": "services", "namespace": "n", "name": "s"}}},
            "services/n/s",
        ),
        ("controllerrevisions.apps", 2, {"revision": 3}, 3),
        ("horizontalpodautoscalers.autoscaling", 4, {"spec": {"maxReplicas": 7}}, 7),
        ("storageclasses.storage.k8s.io", 4, {}, False),
        ("csidrivers.storage.k8s.io", 4, {"spec": {"tokenRequests": [{"audience": ""}]}}, ""),
        ("csidrivers.storage.k8s.io", 4, {"spec": {}}, "<unset>"),
        ("persistentvolumeclaims", 3, {"spec": {"volumeName": "v"}}, "0"),
        ("persistentvolumeclaims", 3, {"spec": {}}, ""),
        (
            "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
            2,
            {"spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0}}},
            "<none>",
        ),
        (
            "validatingadmissionpolicybindings.admissionregistration.k8s.io",
            2,
            {"spec": {"paramRef": {"selector": _SELECTOR}}},
            "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:"
            "[]LabelSelectorRequirement{LabelSelectorRequirement{Key:k,Operator:In,"
            "Values:[x y],},},}",
        ),
        ("events", 8, {"series": {"count": 5}}, 5),
        ("events", 8, {}, 1),
        ("events", 5, {"reportingInstance": "n"}, ", n"),
        ("events", 0, {"firstTimestamp": "2027-01-15T07:59:00Z"}, "60s"),
        ("events", 0, {"firstTimestamp": "2027-01-15T07:59:00Z", "series": {}}, "<unknown>"),
    ],
)
def test_cells_are_as_upstream_writes_them(
    resource: str, index: int, obj: dict[str, Any], shown: Any
) -> None:
    found = cells(resource, obj)[index]
    assert (found, type(found)) == (shown, type(shown))
