"""kubectl, as users use it: apply, patch, get, explain, server-side apply, protobuf bodies."""

import asyncio
import json

from kubernetes import client as official
from kubernetes import config, watch
from rest import Kubectl

from sagong.cmd.server import Running

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: nginx}]}
"""


async def test_apply(kubectl: Kubectl) -> None:
    assert "created" in await kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    assert "unchanged" in await kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    more = DEPLOYMENT.replace("replicas: 2", "replicas: 3")
    assert "configured" in await kubectl("apply", "-f", "-", stdin=more)
    assert await kubectl("diff", "-f", "-", stdin=more) == ""
    assert "0/3" in await kubectl("get", "deployments")
    wrong = more.replace("replicas", "replcas")
    told = await kubectl("apply", "-f", "-", stdin=wrong, fails=True)
    assert 'unknown field "spec.replcas"' in told


async def test_apply_on_the_server(kubectl: Kubectl) -> None:
    arguments = ("apply", "--server-side", "-f", "-")
    await kubectl(*arguments, "--field-manager=one", stdin=DEPLOYMENT)
    more = DEPLOYMENT.replace("replicas: 2", "replicas: 3")
    told = await kubectl(*arguments, "--field-manager=two", stdin=more, fails=True)
    assert 'conflict with "one": .spec.replicas' in told
    await kubectl(*arguments, "--field-manager=two", "--force-conflicts", stdin=more)
    found = json.loads(await kubectl("get", "deploy", "web", "-o", "json", "--show-managed-fields"))
    assert found["spec"]["replicas"] == 3
    managers = {m["manager"] for m in found["metadata"]["managedFields"]}
    assert managers == {"one", "two"}


async def test_patches(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    operations = '[{"op":"replace","path":"/spec/replicas","value":7}]'
    await kubectl("patch", "deploy", "web", "--type=json", "-p", operations)
    await kubectl("set", "image", "deploy/web", "c=busybox")
    await kubectl("label", "deploy", "web", "tier=front")
    jsonpath = "{.spec.replicas} {.spec.template.spec.containers[*].image} {.metadata.labels.tier}"
    found = await kubectl("get", "deploy", "web", "-o", f"jsonpath={jsonpath}")
    assert found == "7 busybox front"


async def test_typed_commands_send_protobuf(kubectl: Kubectl) -> None:
    await kubectl("create", "configmap", "a", "--from-literal=x=y")
    await kubectl("create", "secret", "generic", "s", "--from-literal=p=q")
    await kubectl("create", "deployment", "d", "--image=nginx", "--replicas=0", "--port=80")
    await kubectl("create", "ingress", "i", "--rule=example.com/=web:80")
    assert await kubectl("get", "secret", "s", "-o", "jsonpath={.data.p}") == "cQ=="
    replicas = await kubectl("get", "deploy", "d", "-o", "jsonpath={.spec.replicas}")
    assert replicas == "0"
    host = await kubectl("get", "ingress", "i", "-o", "jsonpath={.spec.rules[0].host}")
    assert host == "example.com"
    assert (await kubectl("create", "token", "default")).count(".") == 2


async def test_what_the_server_says_of_itself(kubectl: Kubectl) -> None:
    assert "deployments" in await kubectl("api-resources")
    assert "Number of desired pods" in await kubectl("explain", "deployment.spec.replicas")
    assert await kubectl("get", "--raw", "/readyz") == "ok"
    assert "sagong" in await kubectl("version")
    assert "yes" in await kubectl("auth", "can-i", "create", "pods")
    asked = ("auth", "can-i", "create", "pods", "--as=nobody")
    await kubectl(*asked, fails=True)
    assert "apiserver_request_total" in await kubectl("get", "--raw", "/metrics")


async def test_the_official_python_client(server: Running) -> None:
    def use() -> list[str]:
        api = official.CoreV1Api(config.new_client_from_config(str(server.kubeconfig)))
        body = official.V1ConfigMap(metadata=official.V1ObjectMeta(name="p"), data={"a": "b"})
        made = api.create_namespaced_config_map("default", body)
        made.data["a"] = "c"
        api.replace_namespaced_config_map("p", "default", made)
        api.patch_namespaced_config_map("p", "default", {"data": {"d": "e"}})
        stream = watch.Watch().stream(api.list_namespaced_config_map, "default", timeout_seconds=1)
        seen = [event["object"].metadata.name for event in stream]
        assert api.read_namespaced_config_map("p", "default").data == {"a": "c", "d": "e"}
        api.delete_namespaced_config_map("p", "default")
        return seen

    assert "p" in await asyncio.to_thread(use)
