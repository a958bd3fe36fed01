"""Services: what is refused, and what an update keeps."""

from typing import Any

import pytest

from sagong.api.types import Obj
from sagong.server.kinds.core.service import STRATEGY
from sagong.server.kinds.object_meta import validate_create, validate_update


def service(old: Obj | None = None, **spec: Any) -> Obj:
    obj: Obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s", "namespace": "default"},
        "spec": {"ports": [{"port": 80}], **spec},
    }
    STRATEGY.default(obj)
    if old is None:
        STRATEGY.prepare_for_create(obj)
    else:
        STRATEGY.prepare_for_update(obj, old)
    return obj


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"ports": []}, "spec.ports: Required value"),
        (
            {"ports": [{"port": 80, "nodePort": 30000}]},
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            {"externalTrafficPolicy": "Local"},
            'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for '
            "externally-accessible services",
        ),
        (
            {"type": "NodePort", "clusterIP": "None"},
            "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort "
            "services",
        ),
        (
            {"clusterIP": "10.96.0.300"},
            'spec.clusterIPs[0]: Invalid value: "10.96.0.300": must be a valid IP address, '
            "(e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            {"type": "Odd"},
            'spec.type: Unsupported value: "Odd": supported values: "ClusterIP", '
            '"ExternalName", "LoadBalancer", "NodePort"',
        ),
    ],
)
def test_create_refuses(spec: Obj, expected: str) -> None:
    errors = validate_create(service(**spec), STRATEGY, namespaced=True)

    assert f"{errors[0]['field']}: {errors[0]['message']}" == expected


def test_a_put_without_allocated_fields_keeps_them() -> None:
    ports = [{"port": 80, "nodePort": 30001}]
    old = service(type="NodePort", clusterIP="10.96.0.7", ports=ports)

    new = service(old, type="NodePort")

    assert new["spec"]["clusterIP"] == "10.96.0.7"
    assert new["spec"]["clusterIPs"] == ["10.96.0.7"]
    assert new["spec"]["ports"][0]["nodePort"] == 30001


def test_the_cluster_ip_may_not_change() -> None:
    old = service(clusterIP="10.96.0.7")

    [error] = validate_update(service(old, clusterIP="10.96.0.8"), old, STRATEGY, namespaced=True)

    assert error["field"] == "spec.clusterIPs[0]"
    assert error["message"] == 'Invalid value: ["10.96.0.8"]: may not change once set'


def test_another_type_drops_what_only_the_old_one_had() -> None:
    ports = [{"port": 80, "nodePort": 30001}]
    old = service(type="NodePort", clusterIP="10.96.0.7", ports=ports)

    new = service(old, ports=[dict(ports[0])], externalTrafficPolicy="Cluster")

    assert "nodePort" not in new["spec"]["ports"][0]
    assert "externalTrafficPolicy" not in new["spec"]
    assert validate_update(new, old, STRATEGY, namespaced=True) == []
