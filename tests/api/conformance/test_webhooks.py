"""Admission webhooks change and refuse writes, as Kubernetes' conformance suite tries them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from definitions import CRD_PATH, CRON_TABS, cron_tab, definition
from hooks import (
    Hooks,
    add,
    allow,
    configuration,
    deny,
    hook_server,
    keys,
    own_address,
    patch,
    path_of,
    rule,
    webhook,
)
from rest import CONFIG_MAPS, Api, config_map, pod

pytestmark = pytest.mark.asyncio(loop_scope="module")
MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
PODS = "/api/v1/namespaces/default/pods"
VALIDATING, MUTATING = path_of("Validating"), path_of("Mutating")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hooks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hooks]:
    async with hook_server(keys(tmp_path_factory.mktemp("hooks"))) as running:
        yield running


class Installed:
    """Makes configurations and takes them away after the test."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.paths: list[str] = []

    async def __call__(self, sort: str, name: str, *webhooks: dict[str, Any]) -> Any:
        made = await self.api.call("POST", path_of(sort), configuration(sort, name, *webhooks))
        assert made.status == 201, made.text
        self.paths.append(f"{path_of(sort)}/{name}")
        return made.body

    async def clean(self) -> None:
        for path in self.paths:
            await self.api.call("DELETE", path)


@pytest_asyncio.fixture(loop_scope="module")
async def installed(api: Api) -> AsyncIterator[Installed]:
    made = Installed(api)
    yield made
    await made.clean()


async def make(api: Api, path: str, obj: Any, *, query: str = "") -> Any:
    answer = await api.call("POST", path + query, obj)
    assert answer.status == 201, answer.text
    return answer.body


async def refused(api: Api, method: str, path: str, body: Any = None, **options: Any) -> Any:
    answer = await api.call(method, path, body, **options)
    assert answer.status >= 400, answer.text
    return answer.body


# Deny


async def test_pods_and_config_maps_are_denied(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    def judge(asked: dict[str, Any]) -> dict[str, Any]:
        obj = asked["object"]
        if obj["kind"] == "Pod" and any(c["name"] == "bad" for c in obj["spec"]["containers"]):
            return deny("the pod contains unwanted container name; the pod contains unwanted label")
        data = obj.get("data") or {}
        if data.get("webhook-e2e-test") == "webhook-disallow":
            return deny("the configmap contains unwanted key and value")
        return allow()

    client = hooks.play("/deny", judge)
    await installed(
        "Validating",
        "deny",
        webhook("deny-pods.k8s.io", client, rules=[rule("pods")]),
        webhook(
            "deny-maps.k8s.io",
            client,
            rules=[rule("configmaps", operations=("CREATE", "UPDATE", "DELETE"))],
            namespaceSelector={
                "matchExpressions": [
                    {"key": "skip-webhook-admission", "operator": "NotIn", "values": ["yes"]}
                ]
            },
        ),
        # A webhook that never answers in time is passed over: its policy is Ignore.
        webhook(
            "fail-open.k8s.io",
            hooks.client("/nowhere"),
            failurePolicy="Ignore",
            timeoutSeconds=1,
            rules=[rule("pods")],
        ),
    )
    bad = pod("bad", containers=[{"name": "bad", "image": "x"}])
    error = await refused(api, "POST", PODS, bad)
    assert error["message"] == (
        'admission webhook "deny-pods.k8s.io" denied the request: the pod contains unwanted '
        "container name; the pod contains unwanted label"
    )
    assert (error["code"], error.get("reason")) == (400, None)
    unwanted = {"webhook-e2e-test": "webhook-disallow"}
    error = await refused(api, "POST", CONFIG_MAPS, config_map("no", **unwanted))
    assert "the configmap contains unwanted key and value" in error["message"]
    # An update, by PUT or patch, is refused as well, and leaves no trace.
    made = await make(api, CONFIG_MAPS, config_map("fine", ok="ok"))
    await refused(api, "PUT", f"{CONFIG_MAPS}/fine", {**made, "data": unwanted})
    await refused(api, "PATCH", f"{CONFIG_MAPS}/fine", {"data": unwanted}, headers=MERGE)
    assert (await api.call("GET", f"{CONFIG_MAPS}/fine")).body["data"] == {"ok": "ok"}
    # A namespace that is labelled to be left out is left out.
    labels = {"skip-webhook-admission": "yes"}
    await make(api, "/api/v1/namespaces", {"metadata": {"name": "skipped", "labels": labels}})
    await make(api, "/api/v1/namespaces/skipped/configmaps", config_map("no", **unwanted))


async def test_a_review_says_all(api: Api, hooks: Hooks, installed: Installed) -> None:
    client = hooks.play("/look", lambda asked: allow(warnings=["look out"]))
    operations = ("CREATE", "UPDATE", "DELETE")
    await installed(
        "Validating",
        "look",
        webhook("look.k8s.io", client, rules=[rule("configmaps", operations=operations)]),
    )
    made = await api.call("POST", f"{CONFIG_MAPS}?fieldManager=me", config_map("seen", a="b"))
    assert made.headers["Warning"] == '299 - "look out"'
    await api.call("DELETE", f"{CONFIG_MAPS}/seen", {"gracePeriodSeconds": 0})
    created, deleted = hooks.asked["/look"]
    kind = {"group": "", "version": "v1", "kind": "ConfigMap"}
    resource = {"group": "", "version": "v1", "resource": "configmaps"}
    assert {k: v for k, v in created.items() if k not in ("uid", "object", "userInfo")} == {
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": "seen",
        "namespace": "default",
        "operation": "CREATE",
        "oldObject": None,
        "dryRun": False,
        "options": {
            "kind": "CreateOptions",
            "apiVersion": "meta.k8s.io/v1",
            "fieldManager": "me",
        },
    }
    assert created["object"]["data"] == {"a": "b"}
    assert created["userInfo"]["username"] == "admin"
    assert "system:masters" in created["userInfo"]["groups"]
    assert deleted["object"] is None
    assert deleted["oldObject"]["data"] == {"a": "b"}
    assert deleted["options"] == {
        "kind": "DeleteOptions",
        "apiVersion": "meta.k8s.io/v1",
        "gracePeriodSeconds": 0,
    }


async def test_attaching_is_denied(api: Api, hooks: Hooks, installed: Installed) -> None:
    client = hooks.play("/attach", lambda asked: deny("attaching to pod is not allowed"))
    connect = rule("pods/attach", operations=("CONNECT",))
    await installed("Validating", "attach", webhook("attach.k8s.io", client, rules=[connect]))
    await make(api, PODS, pod("attached"))
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
    }
    path = f"{PODS}/attached/attach?container=c&stdin=true&stdout=true"
    error = await refused(api, "GET", path, headers=upgrade)
    assert "attaching to pod is not allowed" in error["message"]
    (asked,) = hooks.asked["/attach"]
    assert asked["operation"] == "CONNECT"
    assert asked["kind"]["kind"] == "PodAttachOptions"
    assert asked["object"] == {
        "kind": "PodAttachOptions",
        "apiVersion": "v1",
        "container": "c",
        "stdin": True,
        "stdout": True,
    }
    assert "options" in asked
    assert asked["options"] is None


async def test_a_webhook_that_cannot_be_reached_fails_closed(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    selector = {"matchLabels": {"fail-closed": "yes"}}
    labels = {"metadata": {"name": "closed", "labels": {"fail-closed": "yes"}}}
    await make(api, "/api/v1/namespaces", labels)
    await installed(
        "Validating",
        "closed",
        webhook(
            "closed.k8s.io",
            hooks.service("/configmaps", name="nobody"),
            failurePolicy="Fail",
            namespaceSelector=selector,
            rules=[rule("configmaps")],
        ),
    )
    error = await refused(
        api, "POST", "/api/v1/namespaces/closed/configmaps", config_map("foo", a="b")
    )
    assert (error["code"], error["reason"]) == (500, "InternalError")
    assert error["message"] == (
        'Internal error occurred: failed calling webhook "closed.k8s.io": failed to call webhook: '
        'Post "https://nobody.try.svc:443/configmaps?timeout=10s": service "nobody" not found'
    )
    # Elsewhere nobody asks.
    await make(api, CONFIG_MAPS, config_map("foo", a="b"))


FAILURES = {
    "/absent": (404, "the server could not find the requested resource"),
    "/broken": (500, 'an error on the server ("oh no") has prevented the request from succeeding'),
}


@pytest.mark.parametrize("path", FAILURES)
async def test_failures_are_told(api: Api, hooks: Hooks, installed: Installed, path: str) -> None:
    code, text = FAILURES[path]

    async def fail(request: web.Request) -> web.Response:
        return web.Response(status=code, text="oh no")

    hooks.raw[path] = fail
    name = f"{path[1:]}.fails.io"
    await installed(
        "Mutating", path[1:], webhook(name, hooks.client(path), rules=[rule("configmaps")])
    )
    error = await refused(api, "POST", CONFIG_MAPS, config_map("never"))
    why = f'failed calling webhook "{name}": failed to call webhook: {text}'
    assert error["message"] == f"Internal error occurred: {why}"
    assert error["details"]["causes"] == [{"message": why}]


ODD = [
    ({"uid": "other"}, 'received invalid webhook response: expected response.uid="'),
    ({"patchType": "JSONPatch"}, "webhook returned response.patchType but not response.patch"),
    ({"patch": "W10="}, "webhook returned response.patch but not response.patchType"),
]


@pytest.mark.parametrize(("fields", "text"), ODD, ids=["uid", "type alone", "patch alone"])
async def test_odd_answers_are_refused(
    api: Api, hooks: Hooks, installed: Installed, fields: dict[str, Any], text: str
) -> None:
    client = hooks.play("/odd", lambda asked: allow(**fields))
    await installed("Mutating", "odd", webhook("odd.k8s.io", client, rules=[rule("configmaps")]))
    error = await refused(api, "POST", CONFIG_MAPS, config_map("never"))
    assert text in error["message"]


async def test_a_certificate_that_does_not_verify_is_not_trusted(
    api: Api, hooks: Hooks, installed: Installed, tmp_path: Path
) -> None:
    client = {**hooks.play("/tls", lambda asked: allow()), "caBundle": keys(tmp_path).ca_bundle}
    await installed("Validating", "tls", webhook("tls.k8s.io", client, rules=[rule("configmaps")]))
    error = await refused(api, "POST", CONFIG_MAPS, config_map("never"))
    assert error["message"].endswith(
        "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    )
    assert hooks.asked["/tls"] == []


async def test_timeouts_are_honoured(api: Api, hooks: Hooks, installed: Installed) -> None:
    released = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        await released.wait()
        response = {"uid": asked["uid"], "allowed": True}
        return web.json_response(
            {
                "kind": "AdmissionReview",
                "apiVersion": "admission.k8s.io/v1",
                "response": response,
            }
        )

    hooks.raw["/slow"] = slow

    def hook(**fields: Any) -> dict[str, Any]:
        client = hooks.client("/slow")
        return webhook("slow.k8s.io", client, rules=[rule("configmaps")], **fields)

    await installed("Validating", "slow", hook(timeoutSeconds=1, failurePolicy="Fail"))
    error = await refused(api, "POST", CONFIG_MAPS, config_map("slow"))
    assert error["message"].endswith('?timeout=1s": context deadline exceeded')
    ignoring = {"webhooks": [hook(timeoutSeconds=1, failurePolicy="Ignore")]}
    changed = await api.call("PATCH", f"{VALIDATING}/slow", ignoring, headers=MERGE)
    assert changed.status == 200
    await make(api, CONFIG_MAPS, config_map("slow"))
    # Without a timeout there are ten seconds, in which the webhook does answer.
    changed = await api.call("PATCH", f"{VALIDATING}/slow", {"webhooks": [hook()]}, headers=MERGE)
    assert changed.body["webhooks"][0]["timeoutSeconds"] == 10
    released.set()
    await make(api, CONFIG_MAPS, config_map("slow-at-last"))


async def test_webhooks_of_services_are_reached(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    await make(api, "/api/v1/namespaces", {"metadata": {"name": "try"}})
    port = {"port": 443, "protocol": "TCP", "targetPort": hooks.port, "name": "https"}
    service = {"metadata": {"name": "hook"}, "spec": {"ports": [port]}}
    await make(api, "/api/v1/namespaces/try/services", service)
    hooks.play("/service", lambda asked: deny("from the service", code=403))
    await installed(
        "Validating",
        "service",
        webhook("svc.k8s.io", hooks.service("/service"), rules=[rule("configmaps")]),
    )
    error = await refused(api, "POST", CONFIG_MAPS, config_map("never"))
    assert 'no endpoints available for service "hook"' in error["message"]
    address = own_address()
    if not address:
        pytest.skip("this machine has no address that endpoints may have")
    await make(
        api,
        "/apis/discovery.k8s.io/v1/namespaces/try/endpointslices",
        {
            "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["192.0.2.7"], "conditions": {"ready": False}},
                {"addresses": [address], "conditions": {"ready": True}},
            ],
            "ports": [{"name": "https", "port": hooks.port, "protocol": "TCP"}],
        },
    )
    error = await refused(api, "POST", CONFIG_MAPS, config_map("never"))
    assert (error["code"], error["message"]) == (
        403,
        'admission webhook "svc.k8s.io" denied the request: from the service',
    )


async def test_webhooks_of_services_elsewhere_are_reached(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    await make(api, "/api/v1/namespaces", {"metadata": {"name": "elsewhere"}})
    spec = {"type": "ExternalName", "externalName": "localhost"}
    service = {"metadata": {"name": "hook"}, "spec": spec}
    await make(api, "/api/v1/namespaces/elsewhere/services", service)
    hooks.play("/external", lambda asked: deny("from elsewhere"))
    client = hooks.service("/external", namespace="elsewhere")
    client["service"]["port"] = hooks.port
    hook = webhook("ext.k8s.io", client, rules=[rule("configmaps")])
    await installed("Validating", "external", hook)
    # Its certificate is for another name: whoever answers there is not the service.
    error = await refused(api, "POST", CONFIG_MAPS, config_map("never"))
    assert error["message"].endswith("x509: certificate is not valid for hook.elsewhere.svc")
    assert hooks.asked["/external"] == []


# Configurations are beyond webhooks


async def test_configurations_cannot_be_changed_or_kept(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    client = hooks.play("/all", lambda asked: deny("nothing goes"))
    everything = {
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "apiGroups": ["admissionregistration.k8s.io"],
        "apiVersions": ["*"],
        "resources": ["*/*"],
    }
    for sort in ("Validating", "Mutating"):
        await installed(sort, "all", webhook("all.k8s.io", client, rules=[everything]))
    for sort in ("Validating", "Mutating"):
        path = path_of(sort)
        dummy = webhook("dummy.k8s.io", client, rules=[rule("invalid")], failurePolicy="Ignore")
        made = await make(api, path, configuration(sort, "dummy", dummy))
        assert made["metadata"]["labels"] == {"made-by": "test"}
        assert (await api.call("DELETE", f"{path}/dummy")).status == 200
    assert hooks.asked["/all"] == []


@pytest.mark.parametrize("sort", ["Validating", "Mutating"])
async def test_lists_of_configurations(
    api: Api, hooks: Hooks, installed: Installed, sort: str
) -> None:
    def judge(asked: dict[str, Any]) -> dict[str, Any]:
        if sort == "Validating":
            return deny("the list says no")
        return patch(add("/data/mutated", "yes"))

    client = hooks.play("/listed", judge)
    for i in range(3):
        name = f"list-{sort.lower()}-{i}"
        await installed(sort, name, webhook(f"l{i}.k8s.io", client, rules=[rule("configmaps")]))
    path = f"{path_of(sort)}?labelSelector=made-by%3Dtest"
    assert len((await api.call("GET", path)).body["items"]) == 3
    answer = await api.call("POST", CONFIG_MAPS, config_map(f"listed-{sort.lower()}", a="b"))
    if sort == "Validating":
        assert "the list says no" in answer.body["message"]
    else:
        assert answer.body["data"] == {"a": "b", "mutated": "yes"}
    assert (await api.call("DELETE", path)).status == 200
    assert (await api.call("GET", path)).body["items"] == []
    after = await make(api, CONFIG_MAPS, config_map(f"listed-{sort.lower()}-2", a="b"))
    assert after["data"] == {"a": "b"}


async def test_a_validating_configuration_is_changed(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    client = hooks.play("/change", lambda asked: deny("not now"))
    hook = webhook("change.k8s.io", client, rules=[rule("configmaps")])
    made = await installed("Validating", "change", hook)
    await refused(api, "POST", CONFIG_MAPS, config_map("changing"))
    # Without creation among its operations it has no say any more.
    made["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
    made = (await api.call("PUT", f"{VALIDATING}/change", made)).body
    await make(api, CONFIG_MAPS, config_map("changing"))
    operations = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
    patched = await api.call("PATCH", f"{VALIDATING}/change", operations, headers=JSON_PATCH)
    assert patched.status == 200
    assert patched.body["metadata"]["generation"] == 3
    await refused(api, "POST", CONFIG_MAPS, config_map("changing-2"))


async def test_a_mutating_configuration_is_changed(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    client = hooks.play("/mutate", lambda asked: patch(add("/data/mutation-stage-1", "yes")))
    hook = webhook("mutate.k8s.io", client, rules=[rule("configmaps")])
    made = await installed("Mutating", "mutate", hook)
    made["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
    made = (await api.call("PUT", f"{MUTATING}/mutate", made)).body
    untouched = await make(api, CONFIG_MAPS, config_map("untouched", a="b"))
    assert untouched["data"] == {"a": "b"}
    operations = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
    await api.call("PATCH", f"{MUTATING}/mutate", operations, headers=JSON_PATCH)
    touched = await make(api, CONFIG_MAPS, config_map("touched", a="b"))
    assert touched["data"] == {"a": "b", "mutation-stage-1": "yes"}


# Mutate


async def test_config_maps_are_mutated_in_turn(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    def second(asked: dict[str, Any]) -> dict[str, Any]:
        if "mutation-stage-1" not in asked["object"]["data"]:
            return allow()
        return patch(add("/data/mutation-stage-2", "yes"))

    one = hooks.play("/one", lambda asked: patch(add("/data/mutation-stage-1", "yes")))
    two = hooks.play("/two", second)
    await installed(
        "Mutating",
        "in-turn",
        webhook("one.k8s.io", one, rules=[rule("configmaps")]),
        webhook("two.k8s.io", two, rules=[rule("configmaps")]),
    )
    made = await make(api, CONFIG_MAPS, config_map("stages", **{"mutation-start": "yes"}))
    wanted = {"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}
    assert made["data"] == wanted
    assert (await api.call("GET", f"{CONFIG_MAPS}/stages")).body["data"] == wanted


async def test_pods_get_defaults_for_what_webhooks_add(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    added = [{"name": "webhook-added-init-container", "image": "webhook-added-image"}]
    client = hooks.play("/pod", lambda asked: patch(add("/spec/initContainers", added)))
    await installed("Mutating", "pods", webhook("pods.k8s.io", client, rules=[rule("pods")]))
    made = await make(api, PODS, pod("defaulted"))
    (container,) = made["spec"]["initContainers"]
    assert container["name"] == "webhook-added-init-container"
    assert container["terminationMessagePolicy"] == "File"
    assert container["terminationMessagePath"] == "/dev/termination-log"
    # The service account's plugin came before; it is asked again, so its token is mounted too.
    assert container["volumeMounts"]


async def test_webhooks_are_called_again_if_needed(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    def first(asked: dict[str, Any]) -> dict[str, Any]:
        count = int(asked["object"]["data"].get("first", "0")) + 1
        return patch(add("/data/first", str(count)))

    one = hooks.play("/again-1", first)
    two = hooks.play("/again-2", lambda asked: patch(add("/data/second", "yes")))
    rules = [rule("configmaps")]
    await installed(
        "Mutating",
        "again",
        webhook("a.k8s.io", one, rules=rules, reinvocationPolicy="IfNeeded"),
        webhook("b.k8s.io", two, rules=rules, reinvocationPolicy="Never"),
    )
    made = await make(api, CONFIG_MAPS, config_map("again", a="b"))
    # Changed by the second, the object came to the first once more, and to the second no more.
    assert made["data"] == {"a": "b", "first": "2", "second": "yes"}
    assert (len(hooks.asked["/again-1"]), len(hooks.asked["/again-2"])) == (2, 1)


async def test_deletion_cannot_be_mutated(api: Api, hooks: Hooks, installed: Installed) -> None:
    client = hooks.play("/gone", lambda asked: patch(add("/data/a", "b")))
    deletes = rule("configmaps", operations=("DELETE",))
    await make(api, CONFIG_MAPS, config_map("kept"))
    await installed("Mutating", "gone", webhook("gone.k8s.io", client, rules=[deletes]))
    error = await refused(api, "DELETE", f"{CONFIG_MAPS}/kept")
    assert error["message"] == (
        'Internal error occurred: admission webhook "gone.k8s.io" attempted to modify the object, '
        "which is not supported for this operation"
    )


async def test_dry_run_needs_webhooks_without_effects(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    client = hooks.play("/dry", lambda asked: deny("asked"))
    hook = webhook("dry.k8s.io", client, rules=[rule("configmaps")], sideEffects="NoneOnDryRun")
    await installed("Validating", "dry", hook)
    error = await refused(api, "POST", f"{CONFIG_MAPS}?dryRun=All", config_map("dry"))
    assert error["message"].endswith("denied the request: asked")
    (asked,) = hooks.asked["/dry"]
    assert asked["dryRun"] is True
    assert asked["options"]["dryRun"] == ["All"]


async def test_metrics_count_webhooks(api: Api, hooks: Hooks, installed: Installed) -> None:
    client = hooks.play("/counted", lambda asked: deny("no", code=403))
    await installed(
        "Validating", "counted", webhook("counted.k8s.io", client, rules=[rule("configmaps")])
    )
    await refused(api, "POST", CONFIG_MAPS, config_map("counted"))
    text = (await api.call("GET", "/metrics")).text
    assert (
        'apiserver_admission_webhook_rejection_count{error_type="no_error",name="counted.k8s.io",'
        'operation="CREATE",rejection_code="403",type="validating"} 1.0' in text
    )
    assert (
        'apiserver_admission_webhook_request_total{code="403",name="counted.k8s.io",'
        'operation="CREATE",rejected="true",type="validating"} 1.0' in text
    )
    assert "apiserver_admission_webhook_admission_duration_seconds_bucket" in text


# Equivalent resources and subresources


async def test_equivalent_resources_are_converted(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    scalers = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"

    def judge(asked: dict[str, Any]) -> dict[str, Any]:
        return patch(add("/spec/targetCPUUtilizationPercentage", 33))

    client = hooks.play("/scalers", judge)
    old = rule("horizontalpodautoscalers", group="autoscaling", version="v1")
    exact = hooks.play("/exact", lambda asked: deny("never"))
    await installed(
        "Mutating",
        "equivalent",
        webhook("equivalent.k8s.io", client, rules=[old]),
        webhook("exact.k8s.io", exact, rules=[old], matchPolicy="Exact"),
    )
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    scaler = {"metadata": {"name": "s"}, "spec": {"maxReplicas": 3, "scaleTargetRef": target}}
    made = await make(api, scalers, scaler)
    (asked,) = hooks.asked["/scalers"]
    assert asked["kind"]["version"] == "v1"
    assert asked["requestKind"]["version"] == "v2"
    assert asked["object"]["apiVersion"] == "autoscaling/v1"
    assert asked["object"]["spec"]["targetCPUUtilizationPercentage"] == 80
    metrics = made["spec"]["metrics"][0]["resource"]["target"]
    assert metrics == {"type": "Utilization", "averageUtilization": 33}
    assert hooks.asked["/exact"] == []


async def test_scales_are_seen_as_scales(api: Api, hooks: Hooks, installed: Installed) -> None:
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    await make(api, deployments, {"metadata": {"name": "d"}, "spec": spec})
    client = hooks.play("/scale", lambda asked: patch(add("/spec/replicas", 5)))
    scaling = rule("deployments/scale", operations=("UPDATE",), group="apps")
    await installed("Mutating", "scale", webhook("scale.k8s.io", client, rules=[scaling]))
    path = f"{deployments}/d/scale"
    answer = await api.call("PATCH", path, {"spec": {"replicas": 3}}, headers=MERGE)
    assert answer.body["spec"]["replicas"] == 5
    (asked,) = hooks.asked["/scale"]
    assert asked["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert asked["subResource"] == "scale"
    assert (asked["oldObject"]["spec"], asked["object"]["spec"]) == (
        {"replicas": 1},
        {"replicas": 3},
    )


async def test_evictions_and_bindings_are_creations(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    await make(api, PODS, pod("acted-on"))
    client = hooks.play("/act", lambda asked: deny("stay"))
    acts = rule("pods/eviction", "pods/binding")
    await installed("Validating", "act", webhook("act.k8s.io", client, rules=[acts]))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "acted-on"}}
    binding = {"metadata": {"name": "acted-on"}, "target": {"kind": "Node", "name": "n"}}
    for sub, body, kind in (("eviction", eviction, "Eviction"), ("binding", binding, "Binding")):
        error = await refused(api, "POST", f"{PODS}/acted-on/{sub}", body)
        assert "denied the request: stay" in error["message"]
        assert hooks.asked["/act"][-1]["kind"]["kind"] == kind


# Custom resources


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cron_tabs(api: Api) -> str:
    """The path of a custom resource that is served."""
    await make(api, CRD_PATH, definition())
    return CRON_TABS


async def test_custom_resources_are_denied(
    api: Api, hooks: Hooks, installed: Installed, cron_tabs: str
) -> None:
    def judge(asked: dict[str, Any]) -> dict[str, Any]:
        mode = ((asked["object"] or asked["oldObject"])["spec"]).get("mode")
        return deny("the custom resource contains unwanted data") if mode == "Forbid" else allow()

    client = hooks.play("/custom", judge)
    rules = [
        rule(
            "crontabs",
            operations=("CREATE", "UPDATE", "DELETE"),
            group="stable.example.com",
        )
    ]
    unwanted = "the custom resource contains unwanted data"
    hook = webhook("custom.k8s.io", client, rules=rules)
    await installed("Validating", "custom", hook)
    error = await refused(api, "POST", cron_tabs, cron_tab("denied", mode="Forbid"))
    assert unwanted in error["message"]
    await make(api, cron_tabs, cron_tab("allowed"))
    path = f"{cron_tabs}/allowed"
    error = await refused(api, "PATCH", path, {"spec": {"mode": "Forbid"}}, headers=MERGE)
    assert unwanted in error["message"]
    # Deletion of what is forbidden is denied until it is forbidden no more.
    await api.call("DELETE", f"{VALIDATING}/custom")
    await api.call("PATCH", path, {"spec": {"mode": "Forbid"}}, headers=MERGE)
    await make(api, VALIDATING, configuration("Validating", "custom", hook))
    assert unwanted in (await refused(api, "DELETE", path))["message"]
    await api.call("PATCH", path, {"spec": {"mode": "Allow"}}, headers=MERGE)
    assert (await api.call("DELETE", path)).status == 200


async def test_custom_resources_are_mutated_and_pruned(
    api: Api, hooks: Hooks, installed: Installed, cron_tabs: str
) -> None:
    one = hooks.play("/cr-1", lambda asked: patch(add("/spec/image", "stage-1")))
    two = hooks.play(
        "/cr-2", lambda asked: patch(add("/spec/unknown", "x"), add("/spec/replicas", 2))
    )
    rules = [rule("crontabs", group="stable.example.com")]
    await installed(
        "Mutating",
        "custom",
        webhook("one.k8s.io", one, rules=rules),
        webhook("two.k8s.io", two, rules=rules),
    )
    made = await make(api, cron_tabs, cron_tab("mutated"))
    assert made["spec"] == {"cronSpec": "* * * * */5", "image": "stage-1", "replicas": 2}
    assert hooks.asked["/cr-2"][0]["object"]["spec"]["image"] == "stage-1"


async def test_custom_resources_are_mutated_while_versions_are_changed(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    crd = definition(plural="flips", singular="flip", kind="Flip", shortNames=[], categories=[])
    (first,) = crd["spec"]["versions"]
    crd["spec"]["versions"].append({**first, "name": "v2", "storage": False})
    await make(api, CRD_PATH, crd)
    base = "/apis/stable.example.com/v1/namespaces/default/flips"
    flip = {**cron_tab("flip"), "kind": "Flip"}
    await make(api, base, flip)
    operations = [
        {"op": "replace", "path": "/spec/versions/0/storage", "value": False},
        {"op": "replace", "path": "/spec/versions/1/storage", "value": True},
    ]
    name = crd["metadata"]["name"]
    changed = await api.call("PATCH", f"{CRD_PATH}/{name}", operations, headers=JSON_PATCH)
    assert changed.body["status"]["storedVersions"] == ["v1", "v2"]
    client = hooks.play("/flip", lambda asked: patch(add("/spec/image", "mutated")))
    rules = [
        {
            **rule("flips", operations=("CREATE", "UPDATE"), group="stable.example.com"),
            "apiVersions": ["*"],
        }
    ]
    await installed("Mutating", "flip", webhook("flip.k8s.io", client, rules=rules))
    answer = await api.call("PATCH", f"{base}/flip", {"spec": {"replicas": 4}}, headers=MERGE)
    assert answer.body["apiVersion"] == "stable.example.com/v1"
    assert (answer.body["spec"]["replicas"], answer.body["spec"]["image"]) == (4, "mutated")
    assert hooks.asked["/flip"][0]["object"]["apiVersion"] == "stable.example.com/v1"


async def test_definitions_are_denied(api: Api, hooks: Hooks, installed: Installed) -> None:
    client = hooks.play("/crd", lambda asked: deny("the crd contains unwanted label"))
    selector = {"matchLabels": {"webhook-e2e-test": "webhook-disallow"}}
    rules = [rule("customresourcedefinitions", group="apiextensions.k8s.io")]
    hook = webhook("crd.k8s.io", client, rules=rules, objectSelector=selector)
    await installed("Validating", "crd", hook)
    crd = definition(plural="denied", singular="denied", kind="Denied")
    crd["metadata"]["labels"] = {"webhook-e2e-test": "webhook-disallow"}
    error = await refused(api, "POST", CRD_PATH, crd)
    assert "the crd contains unwanted label" in error["message"]
    crd["metadata"]["labels"] = {}
    await make(api, CRD_PATH, crd)


# Match conditions


@pytest.mark.parametrize("sort", ["Validating", "Mutating"])
async def test_match_conditions_are_kept_and_changed(
    api: Api, hooks: Hooks, installed: Installed, sort: str
) -> None:
    conditions = [{"name": "expression-1", "expression": "object.metadata.namespace == 'try'"}]
    hook = webhook(
        "conditions.k8s.io",
        hooks.client("/nowhere"),
        rules=[rule("configmaps")],
        matchConditions=conditions,
    )
    name = f"conditions-{sort.lower()}"
    made = await installed(sort, name, hook)
    assert made["webhooks"][0]["matchConditions"] == conditions
    more = [*conditions, {"name": "expression-2", "expression": "request.operation == 'CREATE'"}]
    made["webhooks"][0]["matchConditions"] = more
    updated = await api.call("PUT", f"{path_of(sort)}/{name}", made)
    assert updated.status == 200, updated.text
    assert updated.body["webhooks"][0]["matchConditions"] == more
    # The webhook, which nobody answers for, is not called where the conditions do not hold.
    await make(api, CONFIG_MAPS, config_map(f"unmatched-{sort.lower()}"))


async def test_all_but_skipped_config_maps_are_mutated(
    api: Api, hooks: Hooks, installed: Installed
) -> None:
    client = hooks.play("/all-but", lambda asked: patch(add("/data/mutation-stage-1", "yes")))
    conditions = [{"name": "skip-me", "expression": "object.metadata.name != 'skip-me'"}]
    hook = webhook("all-but.k8s.io", client, rules=[rule("configmaps")], matchConditions=conditions)
    await installed("Mutating", "all-but", hook)
    mutated = await make(api, CONFIG_MAPS, config_map("mutate-me", **{"mutation-start": "yes"}))
    assert mutated["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes"}
    skipped = await make(api, CONFIG_MAPS, config_map("skip-me", **{"mutation-start": "yes"}))
    assert skipped["data"] == {"mutation-start": "yes"}
    text = (await api.call("GET", "/metrics")).text
    assert (
        'apiserver_admission_match_condition_exclusions_total{kind="webhook",'
        'name="all-but.k8s.io",operation="CREATE",type="admit"} 1.0' in text
    )


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
async def test_conditions_that_fail_count_as_the_policy_says(
    api: Api, hooks: Hooks, installed: Installed, policy: str
) -> None:
    client = hooks.play("/failing", lambda asked: deny("asked"))
    conditions = [{"name": "fails", "expression": "object.data.absent == 'x'"}]
    hook = webhook(
        "failing.k8s.io",
        client,
        rules=[rule("configmaps")],
        matchConditions=conditions,
        failurePolicy=policy,
    )
    await installed("Validating", f"failing-{policy.lower()}", hook)
    answer = await api.call("POST", CONFIG_MAPS, config_map(f"failing-{policy.lower()}", a="b"))
    if policy == "Fail":
        assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
        assert "no such key: absent" in answer.body["message"]
    else:
        assert answer.status == 201
    assert hooks.asked["/failing"] == []
