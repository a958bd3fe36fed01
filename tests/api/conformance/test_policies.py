"""Admission policies in CEL refuse, warn of and change writes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from rest import Api, config_map

pytestmark = pytest.mark.asyncio(loop_scope="module")
GROUP = "/apis/admissionregistration.k8s.io/v1"
MERGE = {"Content-Type": "application/merge-patch+json"}
APPS = "/apis/apps/v1/namespaces"


def rules(*resources: str, group: str = "", operations: tuple[str, ...] = ("CREATE",)) -> Any:
    return {
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "operations": list(operations),
        "resources": list(resources),
    }


def selecting(space: str, *given: Any) -> Any:
    names = {"kubernetes.io/metadata.name": space}
    return {"resourceRules": list(given), "namespaceSelector": {"matchLabels": names}}


def deployment(name: str, replicas: int, **metadata: Any) -> Any:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, **metadata},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": "busybox"}]},
            },
        },
    }


class Policies:
    """Policies with a binding each, in a namespace of their own; removed after the test."""

    def __init__(self, api: Api, space: str) -> None:
        self.api = api
        self.space = space
        self._made: list[str] = []

    async def make(self, path: str, body: Any) -> Any:
        answer = await self.api.call("POST", path, body)
        assert answer.status == 201, answer.text
        if path.startswith("/apis/admission"):
            self._made.append(f"{path}/{body['metadata']['name']}")
        return answer.body

    async def validating(self, spec: Any, *actions: str, **binding: Any) -> str:
        name = f"policy-{len(self._made)}-{self.space}"
        await self.make(
            f"{GROUP}/validatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec}
        )
        bound = {"policyName": name, "validationActions": list(actions) or ["Deny"], **binding}
        path = f"{GROUP}/validatingadmissionpolicybindings"
        await self.make(path, {"metadata": {"name": f"{name}-b"}, "spec": bound})
        return name

    async def mutating(self, spec: Any, **binding: Any) -> str:
        name = f"policy-{len(self._made)}-{self.space}"
        full = {"reinvocationPolicy": "Never", **spec}
        await self.make(
            f"{GROUP}/mutatingadmissionpolicies", {"metadata": {"name": name}, "spec": full}
        )
        path = f"{GROUP}/mutatingadmissionpolicybindings"
        bound = {"policyName": name, **binding}
        await self.make(path, {"metadata": {"name": f"{name}-b"}, "spec": bound})
        return name

    async def create(self, obj: Any, *, query: str = "") -> Any:
        base = {
            "Deployment": f"{APPS}/{self.space}/deployments",
            "ReplicaSet": f"{APPS}/{self.space}/replicasets",
            "ConfigMap": f"/api/v1/namespaces/{self.space}/configmaps",
        }[obj["kind"]]
        return await self.api.call("POST", base + query, obj)

    async def clean(self) -> None:
        for path in reversed(self._made):
            await self.api.call("DELETE", path)
        await self.api.call("DELETE", f"/api/v1/namespaces/{self.space}")


@pytest_asyncio.fixture(loop_scope="module")
async def policies(api: Api) -> AsyncIterator[Policies]:
    answer = await api.call("POST", "/api/v1/namespaces", {"metadata": {"generateName": "policy-"}})
    made = Policies(api, answer.body["metadata"]["name"])
    yield made
    await made.clean()


def replica_set(name: str, replicas: int) -> Any:
    made = deployment(name, replicas)
    return {**made, "kind": "ReplicaSet"}


async def test_validates_against_a_deployment(policies: Policies) -> None:
    constraints = selecting(policies.space, rules("deployments", group="apps"))
    name = await policies.validating(
        {
            "matchConstraints": constraints,
            "validations": [
                {
                    "expression": "object.spec.replicas > 1",
                    "messageExpression": "'wants replicas > 1, got ' + "
                    "string(object.spec.replicas)",
                },
                {"expression": "namespaceObject.metadata.name == request.namespace"},
            ],
        }
    )
    assert (await policies.create(deployment("replicated", 2))).status == 201
    denied = await policies.create(deployment("single", 1))
    assert denied.status == 422
    why = (
        f"ValidatingAdmissionPolicy '{name}' with binding '{name}-b' denied request: "
        "wants replicas > 1, got 1"
    )
    body = denied.body
    assert body["message"] == f'deployments.apps "single" is forbidden: {why}'
    assert body["reason"] == "Invalid"
    assert body["details"]["causes"] == [{"message": why}]
    assert (await policies.create(replica_set("other-kind", 1))).status == 201


async def test_expressions_refer_to_variables(policies: Policies) -> None:
    await policies.validating(
        {
            "matchConstraints": selecting(policies.space, rules("deployments", group="apps")),
            "variables": [
                {"name": "replicas", "expression": "object.spec.replicas"},
                {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
            ],
            "validations": [
                {"expression": "variables.replicas > 1"},
                {"expression": "variables.oddReplicas"},
            ],
        }
    )
    assert (await policies.create(deployment("three", 3))).status == 201
    two = await policies.create(deployment("two", 2))
    assert two.body["message"].endswith("denied request: failed expression: variables.oddReplicas")
    one = await policies.create(deployment("one", 1))
    assert one.body["message"].endswith("failed expression: variables.replicas > 1")


async def test_mutates_a_deployment(policies: Policies) -> None:
    await policies.mutating(
        {
            "matchConstraints": selecting(policies.space, rules("deployments", group="apps")),
            "mutations": [
                {
                    "patchType": "JSONPatch",
                    "jsonPatch": {
                        "expression": '[JSONPatch{op: "replace", path: "/spec/replicas", '
                        "value: object.spec.replicas + 1}]"
                    },
                }
            ],
        }
    )
    made = await policies.create(deployment("grows", 1))
    assert made.body["spec"]["replicas"] == 2


async def test_mutates_annotations(policies: Policies) -> None:
    await policies.mutating(
        {
            "matchConstraints": selecting(policies.space, rules("deployments", group="apps")),
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {
                        "expression": "Object{metadata: Object.metadata{annotations: "
                        '{"my-foo-annotation": "myAnnotationValue"}}}'
                    },
                }
            ],
        }
    )
    made = await policies.create(deployment("noted", 1, annotations={"kept": "yes"}))
    assert made.body["metadata"]["annotations"] == {
        "kept": "yes",
        "my-foo-annotation": "myAnnotationValue",
    }


async def test_mutates_numbers_and_what_is_not_there(policies: Policies) -> None:
    expression = (
        "Object{spec: Object.spec{replicas: object.spec.replicas + 1, ?paused: "
        "optional.of(true), ?minReadySeconds: optional.none()}}"
    )
    await policies.mutating(
        {
            "matchConstraints": selecting(policies.space, rules("deployments", group="apps")),
            "variables": [{"name": "unused", "expression": "object.spec.nothing"}],
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": expression},
                }
            ],
        }
    )
    made = (await policies.create(deployment("applied", 1))).body
    assert (made["spec"]["replicas"], made["spec"]["paused"]) == (2, True)


async def test_merges_a_configuration_by_keys(policies: Policies) -> None:
    expression = (
        "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{"
        "containers: object.spec.template.spec.containers.map(c, "
        "Object.spec.template.spec.containers{name: c.name, imagePullPolicy: 'Never'}) + "
        "[Object.spec.template.spec.containers{name: 'side', image: 'proxy'}]}}}}"
    )
    await policies.mutating(
        {
            "matchConstraints": selecting(policies.space, rules("deployments", group="apps")),
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": expression},
                }
            ],
        }
    )
    made = await policies.create(deployment("sided", 1))
    containers = made.body["spec"]["template"]["spec"]["containers"]
    assert [(c["name"], c["image"], c["imagePullPolicy"]) for c in containers] == [
        ("c", "busybox", "Never"),
        ("side", "proxy", "Always"),
    ]


async def test_what_is_atomic_is_not_merged(policies: Policies) -> None:
    name = await policies.mutating(
        {
            "matchConstraints": selecting(policies.space, rules("deployments", group="apps")),
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {
                        "expression": "Object{spec: Object.spec{selector: Object.spec.selector{}}}"
                    },
                }
            ],
        }
    )
    refused = await policies.create(deployment("atomic", 1))
    assert (refused.status, refused.body["reason"]) == (403, "Invalid")
    assert refused.body["message"] == (
        f"policy '{name}' with binding '{name}-b' denied request: error applying patch: invalid "
        "ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.selector"
    )


async def test_mutations_that_fail_or_do_not_concern(policies: Policies) -> None:
    def patch(expression: str) -> Any:
        return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}

    spec = {
        "matchConstraints": selecting(policies.space, rules("configmaps")),
        "failurePolicy": "Ignore",
        "mutations": [
            patch('[JSONPatch{op: "remove", path: "/data/none"}]'),
            patch(
                '[JSONPatch{op: "test", path: "/data/a", value: "2"}, '
                'JSONPatch{op: "remove", path: "/data/a"}]'
            ),
            patch(
                '[JSONPatch{op: "add", path: "/metadata/labels", '
                'value: Object.metadata.labels{made: "yes"}}, JSONPatch{op: "add", '
                'path: "/metadata/labels/" + jsonpatch.escapeKey("a.b/c"), value: "d"}]'
            ),
        ],
    }
    await policies.mutating(spec)
    made = (await policies.create(config_map("some", a="1"))).body
    assert (made["data"], made["metadata"]["labels"]) == ({"a": "1"}, {"made": "yes", "a.b/c": "d"})
    name = await policies.mutating({**spec, "failurePolicy": "Fail"})
    refused = await policies.create(config_map("others", a="1"))
    assert refused.body["message"].startswith(
        f"policy '{name}' with binding '{name}-b' denied request: JSONPath: "
    )


async def test_one_policy_sees_what_another_changed(policies: Policies) -> None:
    """The first asks to come again when a later one has changed the object."""
    constraints = selecting(policies.space, rules("configmaps"))

    def patch(expression: str) -> Any:
        return {
            "matchConstraints": constraints,
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
        }

    first = patch(
        'has(object.data.late) ? [JSONPatch{op: "add", path: "/data/seen", value: "yes"}] : []'
    )
    await policies.mutating({**first, "reinvocationPolicy": "IfNeeded"})
    await policies.mutating(patch('[JSONPatch{op: "add", path: "/data/late", value: "x"}]'))
    made = await policies.create(config_map("twice", a="1"))
    assert made.body["data"] == {"a": "1", "late": "x", "seen": "yes"}


async def test_parameters(policies: Policies) -> None:
    reference = {"name": "limits", "parameterNotFoundAction": "Deny"}
    name = await policies.validating(
        {
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": selecting(policies.space, rules("deployments", group="apps")),
            "validations": [
                {
                    "expression": "object.spec.replicas <= int(params.data.most)",
                    "reason": "Forbidden",
                }
            ],
        },
        paramRef=reference,
    )
    missing = await policies.create(deployment("early", 1))
    assert missing.body["message"].endswith(
        f"ValidatingAdmissionPolicy '{name}' with binding '{name}-b' denied request: failed to "
        "configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    )
    assert (await policies.create(config_map("limits", most="3"))).status == 201
    assert (await policies.create(deployment("small", 3))).status == 201
    large = await policies.create(deployment("large", 4))
    assert (large.status, large.body["reason"]) == (403, "Forbidden")


async def test_parameters_by_selector(policies: Policies) -> None:
    selector = {"selector": {"matchLabels": {"limits": "yes"}}, "parameterNotFoundAction": "Allow"}
    await policies.validating(
        {
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": selecting(policies.space, rules("deployments", group="apps")),
            "validations": [{"expression": "object.spec.replicas <= int(params.data.most)"}],
        },
        paramRef=selector,
    )
    assert (await policies.create(deployment("unlimited", 9))).status == 201
    for most in ("5", "3"):
        held = config_map(f"most-{most}", most=most)
        held["metadata"]["labels"] = {"limits": "yes"}
        await policies.create(held)
    assert (await policies.create(deployment("under-both", 3))).status == 201
    assert (await policies.create(deployment("over-one", 4))).status == 422


async def test_parameters_are_seen_in_the_version_that_is_named(policies: Policies) -> None:
    await policies.validating(
        {
            "paramKind": {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler"},
            "matchConstraints": selecting(policies.space, rules("configmaps")),
            "validations": [{"expression": "params.spec.targetCPUUtilizationPercentage == 70"}],
        },
        paramRef={"name": "scaler", "parameterNotFoundAction": "Deny"},
    )
    scaler = {
        "metadata": {"name": "scaler"},
        "spec": {
            "maxReplicas": 2,
            "targetCPUUtilizationPercentage": 70,
            "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
        },
    }
    path = f"/apis/autoscaling/v1/namespaces/{policies.space}/horizontalpodautoscalers"
    assert (await policies.api.call("POST", path, scaler)).status == 201
    assert (await policies.create(config_map("scaled"))).status == 201


async def test_match_conditions_and_exclusions(policies: Policies) -> None:
    constraints = selecting(policies.space, rules("*", operations=("CREATE", "UPDATE")))
    constraints["excludeResourceRules"] = [rules("configmaps") | {"resourceNames": ["free"]}]
    await policies.validating(
        {
            "matchConstraints": constraints,
            "matchConditions": [
                {"name": "not-kept", "expression": "!has(object.metadata.labels)"},
                {
                    "name": "may-not",
                    "expression": "!authorizer.group('').resource('pods').check('fly').allowed()"
                    " || true",
                },
            ],
            "validations": [{"expression": "false", "message": "never"}],
        }
    )
    assert (await policies.create(config_map("bound"))).status == 422
    assert (await policies.create(config_map("free"))).status == 201
    labelled = config_map("labelled")
    labelled["metadata"]["labels"] = {"kept": "yes"}
    assert (await policies.create(labelled)).status == 201


async def test_warnings_instead_of_refusals(policies: Policies) -> None:
    name = await policies.validating(
        {
            "matchConstraints": selecting(policies.space, rules("configmaps")),
            "validations": [{"expression": "has(object.data)", "message": "wants data"}],
        },
        "Warn",
        "Audit",
    )
    made = await policies.create(config_map("empty"))
    assert made.status == 201
    warned = (
        f"Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{name}-b': "
        "wants data"
    )
    assert warned in made.headers["Warning"]


async def test_errors_follow_the_failure_policy(policies: Policies) -> None:
    spec = {
        "matchConstraints": selecting(policies.space, rules("configmaps")),
        "validations": [{"expression": "object.data.missing == ''"}],
    }
    await policies.validating({**spec, "failurePolicy": "Ignore"})
    assert (await policies.create(config_map("ignored", a="1"))).status == 201
    await policies.validating(spec)
    failed = await policies.create(config_map("failed", a="1"))
    assert failed.status == 422
    assert failed.body["message"].endswith(
        "expression 'object.data.missing == ''' resulted in error: no such key: missing"
    )


async def test_deletions_and_statuses(policies: Policies) -> None:
    await policies.validating(
        {
            "matchConstraints": selecting(
                policies.space, rules("configmaps", operations=("DELETE",))
            ),
            "validations": [{"expression": "object == null && oldObject.metadata.name != 'kept'"}],
        }
    )
    for name, status in (("kept", 422), ("gone", 200)):
        await policies.create(config_map(name))
        path = f"/api/v1/namespaces/{policies.space}/configmaps/{name}"
        assert (await policies.api.call("DELETE", path)).status == status


async def test_cost_is_bounded(policies: Policies) -> None:
    numbers = "[" + ",".join("1" * 1 for _ in range(100)) + "]"
    bomb = f"{numbers}.all(a, {numbers}.all(b, {numbers}.all(c, {numbers}.all(d, a == d))))"
    await policies.validating(
        {
            "matchConstraints": selecting(policies.space, rules("configmaps")),
            "validations": [{"expression": bomb, "message": "bomb"}],
        }
    )
    refused = await policies.create(config_map("bombed"))
    assert refused.status == 422
    assert "operation cancelled: actual cost limit exceeded" in refused.body["message"]


async def test_patterns_do_not_blow_up(policies: Policies) -> None:
    await policies.validating(
        {
            "matchConstraints": selecting(policies.space, rules("configmaps")),
            "validations": [{"expression": "!object.data.text.matches('^(a+)+$')"}],
        }
    )
    text = "a" * 50_000 + "!"
    assert (await policies.create(config_map("long", text=text))).status == 201


async def test_authors_must_be_allowed_to_read_parameters(policies: Policies) -> None:
    space, api = policies.space, policies.api
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    role = {
        "metadata": {"name": f"author-{space}"},
        "rules": [
            {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]}
        ],
    }
    await api.call("POST", f"{rbac}/clusterroles", role)
    bound = {
        "metadata": {"name": f"author-{space}"},
        "subjects": [{"kind": "User", "name": "dev", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {
            "kind": "ClusterRole",
            "name": f"author-{space}",
            "apiGroup": "rbac.authorization.k8s.io",
        },
    }
    await api.call("POST", f"{rbac}/clusterrolebindings", bound)
    spec = {
        "matchConstraints": selecting(space, rules("configmaps")),
        "validations": [{"expression": "params.data.x != ''"}],
        "paramKind": {"apiVersion": "v1", "kind": "Secret"},
    }
    body = {"metadata": {"name": f"spy-{space}"}, "spec": spec}
    path = f"{GROUP}/validatingadmissionpolicies"
    refused = await api.call("POST", path, body, token="dev-token")
    assert refused.status == 422
    (cause,) = refused.body["details"]["causes"]
    assert (cause["field"], cause["reason"]) == ("spec.paramKind", "FieldValueForbidden")
    assert (await api.call("POST", path, body)).status == 201
    binding = {
        "metadata": {"name": f"spy-{space}"},
        "spec": {
            "policyName": f"spy-{space}",
            "validationActions": ["Warn"],
            "paramRef": {"name": "s", "namespace": space, "parameterNotFoundAction": "Allow"},
        },
    }
    refused = await api.call(
        "POST", f"{GROUP}/validatingadmissionpolicybindings", binding, token="dev-token"
    )
    assert refused.body["details"]["causes"][0]["field"] == "spec.paramRef"
    await api.call("DELETE", f"{path}/spy-{space}")


INVALID = [
    (
        {"validations": [{"expression": "object.spec. <= 5"}]},
        "spec.validations[0].expression",
        'Invalid value: "object.spec. <= 5": compilation failed: ERROR: <input>:1:14: Syntax '
        "error: no viable alternative at input '. <='\n | object.spec. <= 5\n | .............^",
    ),
    (
        {"validations": [{"expression": "object.spec"}]},
        "spec.validations[0].expression",
        'Invalid value: "object.spec": must evaluate to bool but got dyn',
    ),
    (
        {"validations": [{"expression": "true", "messageExpression": "1"}]},
        "spec.validations[0].messageExpression",
        'Invalid value: "1": must evaluate to string but got int',
    ),
    (
        {"auditAnnotations": [{"key": "k", "valueExpression": "1"}]},
        "spec.auditAnnotations[0].valueExpression",
        'Invalid value: "1": must evaluate to one of [string null_type] but got int',
    ),
    (
        {"validations": [{"expression": "params.x == 1"}]},
        "spec.validations[0].expression",
        'Invalid value: "params.x == 1": compilation failed: ERROR: <input>:1:1: undeclared '
        "reference to 'params' (in container '')\n | params.x == 1\n | ^",
    ),
    (
        {
            "variables": [{"name": "a", "expression": "1"}],
            "validations": [{"expression": "variables.b == 1"}],
        },
        "spec.validations[0].expression",
        'Invalid value: "variables.b == 1": compilation failed: ERROR: <input>:1:10: undefined '
        "field 'b'\n | variables.b == 1\n | .........^",
    ),
    (
        {
            "matchConditions": [{"name": "c", "expression": "1"}],
            "validations": [{"expression": "true"}],
        },
        "spec.matchConditions[0].expression",
        'Invalid value: "1": must evaluate to bool but got int',
    ),
]


@pytest.mark.parametrize(("spec", "field", "message"), INVALID)
async def test_expressions_must_compile(api: Api, spec: Any, field: str, message: str) -> None:
    constraints = {"resourceRules": [rules("configmaps")]}
    body = {"metadata": {"name": "bad"}, "spec": {"matchConstraints": constraints, **spec}}
    answer = await api.call("POST", f"{GROUP}/validatingadmissionpolicies", body)
    assert answer.status == 422
    causes = [(c["field"], c["message"]) for c in answer.body["details"]["causes"]]
    assert causes == [(field, message)]


async def test_mutations_must_compile(api: Api) -> None:
    spec = {
        "matchConstraints": {"resourceRules": [rules("configmaps")]},
        "reinvocationPolicy": "Never",
        "mutations": [
            {"patchType": "JSONPatch", "jsonPatch": {"expression": "Object{}"}},
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Other{}"}},
        ],
    }
    body = {"metadata": {"name": "bad"}, "spec": spec}
    answer = await api.call("POST", f"{GROUP}/mutatingadmissionpolicies", body)
    assert [c["message"].split("\n")[0] for c in answer.body["details"]["causes"]] == [
        'Invalid value: "Object{}": must evaluate to list(JSONPatch) but got Object',
        'Invalid value: "Other{}": compilation failed: ERROR: <input>:1:6: undeclared reference to '
        "'Other' (in container '')",
    ]


@pytest.mark.parametrize("sort", ["mutating", "validating"])
async def test_webhooks_with_invalid_conditions_are_refused(api: Api, sort: str) -> None:
    condition = {"name": "bad", "expression": "... 0 *-_*/ invalid"}
    webhook = {
        "name": "a.b.c",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": "https://localhost/x"},
        "matchConditions": [condition],
    }
    body = {"metadata": {"name": "bad"}, "webhooks": [webhook]}
    answer = await api.call("POST", f"{GROUP}/{sort}webhookconfigurations", body)
    assert answer.status == 422
    assert "compilation failed" in answer.body["message"]
