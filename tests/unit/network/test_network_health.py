"""What load balancers and autoscalers are told of a node's service proxy."""

from typing import Any

import orjson
import pytest

from sagong.api.types import Key
from sagong.network.metrics import exposition
from sagong.network.proxy.health import (
    LATE_SECONDS,
    LocalEndpoints,
    is_eligible,
    proxy_answer,
    service_answer,
)
from sagong.network.tables.writer import Health

Obj = dict[str, Any]
NOW = 1_000.0
FINE = Health(NOW - 500, "", 0.0)
BUSY = Health(NOW - 5, "", NOW - 1)
STUCK = Health(NOW - 500, "refused", NOW - LATE_SECONDS - 1)
NODE: Obj = {"metadata": {"name": "a"}, "spec": {}}
GOING: Obj = {"metadata": {"name": "a", "deletionTimestamp": "x"}, "spec": {}}
TAINTED: Obj = {**NODE, "spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}}


@pytest.mark.parametrize(
    ("health", "node", "path", "status"),
    [
        (FINE, NODE, "/healthz", 200),
        (BUSY, NODE, "/healthz", 200),
        (STUCK, NODE, "/healthz", 503),
        (STUCK, NODE, "/livez", 503),
        (Health(0.0, "", 0.0), NODE, "/healthz", 503),
        (FINE, GOING, "/healthz", 503),
        (FINE, TAINTED, "/healthz", 503),
        (FINE, TAINTED, "/livez", 200),
        (FINE, NODE, "/other", 404),
    ],
)
def test_the_proxys_own_health(health: Health, node: Obj, path: str, status: int) -> None:
    code, _, body = proxy_answer(health, node, path, NOW)
    assert code == status
    if status != 404:
        told = orjson.loads(body)
        assert told["nodeEligible"] == is_eligible(node)
        assert told["currentTime"] == "1970-01-01T00:16:40Z"


@pytest.mark.parametrize(
    ("count", "healthy", "status"), [(2, True, 200), (0, True, 503), (2, False, 503)]
)
def test_a_services_health(count: int, healthy: bool, status: int) -> None:
    code, headers, body = service_answer(LocalEndpoints(Key("default", "web"), count), healthy)
    assert code == status
    assert headers["X-Load-Balancing-Endpoint-Weight"] == str(count)
    assert orjson.loads(body) == {
        "service": {"namespace": "default", "name": "web"},
        "localEndpoints": count,
        "serviceProxyHealthy": healthy,
    }


def test_metrics_are_prometheus_text() -> None:
    text = exposition(FINE, BUSY, (3, 7), {"ingress": 5, "egress": 0})
    assert 'sagong_network_policy_dropped_packets_total{direction="ingress"} 5\n' in text
    assert "sagong_proxy_endpoints 7\n" in text
    families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
