"""Pods: what is refused at creation and at each kind of update, and what is warned of."""

from typing import Any

import pytest

from sagong.api.meta import deep_copy
from sagong.api.pod_defaults import pull_policy_of
from sagong.api.types import Obj
from sagong.api.validation import ErrorList
from sagong.server.kinds.core.pod import STRATEGY
from sagong.server.kinds.core.pod_qos import qos_class
from sagong.server.kinds.core.pod_update import validate_ephemeral_update, validate_resize
from sagong.server.kinds.object_meta import validate_create, validate_update


def pod(*, metadata: Obj | None = None, container: Obj | None = None, **spec: Any) -> Obj:
    first = {"name": "c", "image": "x", **(container or {})}
    obj: Obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default", **(metadata or {})},
        "spec": {"containers": [first], **spec},
    }
    STRATEGY.default(obj)
    STRATEGY.prepare_for_create(obj)
    return obj


def refused(obj: Obj) -> list[str]:
    return texts(validate_create(obj, STRATEGY, namespaced=True))


def refused_update(new: Obj, old: Obj) -> list[str]:
    return texts(validate_update(new, old, STRATEGY, namespaced=True))


def texts(errors: ErrorList) -> list[str]:
    return [f"{e['field']}: {e['message']}" for e in errors]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"container": {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}},
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or '
            "equal to cpu limit of 1",
        ),
        (
            {"container": {"resources": {"limits": {"memroy": "1"}}}},
            'spec.containers[0].resources.limits[memroy]: Invalid value: "memroy": must be a '
            "standard resource type or fully qualified",
        ),
        (
            {"container": {"resources": {"limits": {"example.com/gpu": "1500m"}}}},
            'spec.containers[0].resources.limits[example.com/gpu]: Invalid value: "1500m": '
            "must be an integer",
        ),
        (
            {"container": {"livenessProbe": {"periodSeconds": 1}}},
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
        ),
        (
            {"container": {"env": [{"name": "A", "value": "x", "valueFrom": {}}]}},
            'spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: '
            "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        ),
        (
            {"volumes": [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]},
            "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type",
        ),
        (
            {"hostNetwork": True, "container": {"ports": [{"containerPort": 1, "hostPort": 2}]}},
            "spec.containers[0].ports[0].hostPort: Invalid value: 2: must match `containerPort` "
            "when `hostNetwork` is true",
        ),
        (
            {"initContainers": [{"name": "i", "image": "x", "lifecycle": {}}]},
            "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers "
            "without restartPolicy=Always",
        ),
        (
            {"ephemeralContainers": [{"name": "e", "image": "x"}]},
            "spec.ephemeralContainers: Forbidden: cannot be set on create",
        ),
        (
            {"schedulingGates": [{"name": "g"}], "nodeName": "n"},
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
        ),
        (
            {"hostAliases": [{"ip": "nope"}]},
            'spec.hostAliases[0].ip: Invalid value: "nope": must be a valid IP address, '
            "(e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            {"metadata": {"finalizers": ["mine"]}},
            'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer '
            "name nor is it fully qualified",
        ),
    ],
)
def test_create_refuses(given: Obj, expected: str) -> None:
    assert refused(pod(**given))[:1] == [expected]


def changed(old: Obj, **spec: Any) -> Obj:
    new: Obj = deep_copy(old)
    new["spec"].update(spec)
    return new


def test_images_and_deadline_may_change() -> None:
    old = pod()
    new = changed(old, activeDeadlineSeconds=10)
    new["spec"]["containers"][0]["image"] = "y"

    assert refused_update(new, old) == []


def test_other_fields_may_not_change() -> None:
    old = pod()

    [text] = refused_update(changed(old, hostPID=True), old)

    start = (
        "spec: Forbidden: pod updates may not change fields other than "
        "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
        "`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously "
        "negative)\n"
    )
    assert text.startswith(start)


def test_tolerations_may_only_be_added() -> None:
    one = {"key": "a", "operator": "Exists"}
    old = pod(tolerations=[one])

    assert refused_update(changed(old, tolerations=[one, {"operator": "Exists"}]), old) == []
    assert refused_update(changed(old, tolerations=[]), old) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its "
        "tolerationSeconds"
    ]


def test_containers_may_not_be_added() -> None:
    old = pod()
    new = changed(old, containers=[*old["spec"]["containers"], pod()["spec"]["containers"][0]])
    new["spec"]["containers"][1]["name"] = "d"

    assert refused_update(new, old) == [
        "spec.containers: Forbidden: pod updates may not add or remove containers"
    ]


def test_scheduling_gates_may_only_go() -> None:
    old = pod(schedulingGates=[{"name": "g"}])

    assert old["status"]["conditions"][0]["reason"] == "SchedulingGated"
    assert refused_update(changed(old, schedulingGates=[]), old) == []


def test_ephemeral_containers_may_only_come() -> None:
    old = pod()
    new = changed(old, ephemeralContainers=[{"name": "e", "image": "x"}])
    STRATEGY.default(new)
    errors = ErrorList()

    validate_ephemeral_update(new, old, errors)
    assert texts(errors) == []
    validate_ephemeral_update(old, new, errors)
    assert texts(errors) == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be '
        "removed\n"
    ]


def test_resize_changes_amounts_but_not_the_class() -> None:
    old = pod(container={"resources": {"requests": {"cpu": "1"}}})
    larger = changed(pod(container={"resources": {"requests": {"cpu": "2"}}}))
    none = pod()
    errors = ErrorList()

    validate_resize(larger, old, errors)
    assert texts(errors) == []
    validate_resize(none, old, errors)
    assert any("Pod QOS Class may not change" in text for text in texts(errors))


def test_a_status_write_keeps_what_has_ended_ended() -> None:
    old = pod(restartPolicy="Never")
    old["status"]["containerStatuses"] = [{"name": "c", "state": {"terminated": {"exitCode": 0}}}]
    new = deep_copy(old)
    new["status"]["containerStatuses"][0]["state"] = {"running": {}}
    errors = ErrorList()

    STRATEGY.prepare_for_status_update(new, old)
    STRATEGY.validate_status_update(new, old, errors)

    assert texts(errors) == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to "
        "non-terminated state"
    ]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "1", "memory": "1"}},
         "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1"}}, "Guaranteed"),
    ],
)  # fmt: skip
def test_quality_of_service(resources: Obj, expected: str) -> None:
    assert qos_class(pod(container={"resources": resources})["spec"]) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("busybox:1.36", "IfNotPresent"),
        ("localhost:5000/busybox", "Always"),
        ("localhost:5000/busybox:1", "IfNotPresent"),
        ("busybox@sha256:" + "0" * 64, "IfNotPresent"),
        ("Bad Image", "IfNotPresent"),
    ],
)
def test_pull_policy(image: str, expected: str) -> None:
    assert pull_policy_of(image) == expected


def test_warnings() -> None:
    obj = pod(
        metadata={"name": "a.b"},
        container={"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
        terminationGracePeriodSeconds=-1,
        nodeSelector={"beta.kubernetes.io/os": "linux"},
    )

    assert STRATEGY.warnings(obj, None) == [
        "metadata.name: this is used in the Pod's hostname, which can result in surprising "
        "behavior; a DNS label is recommended: [must not contain dots]",
        "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "
        '"kubernetes.io/os" instead',
        "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will "
        "be treated as 1",
        'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when '
        "using apply",
    ]
