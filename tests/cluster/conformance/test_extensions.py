"""[sig-api-machinery] webhooks and an extension API server that run in pods, behind a service."""

import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.cluster.conformance.agent_programs import HOST_VOLUME, python_program
from tests.cluster.conformance.cluster import Space
from tests.cluster.conformance.extension_programs import WEBHOOK
from tests.cluster.manifests import is_ready, pod

from sagong.api.errors import ApiError, NotFound
from sagong.api.types import Obj
from sagong.core.clock import SystemClock
from sagong.server.pki.authority import SERVER_AUTH, Authority, Identity, new_authority

NAME = "e2e-test-webhook"
PORT = 8443


@dataclass(frozen=True, slots=True)
class Served:
    """A webhook server in the cluster."""

    space: Space
    ca_bundle: str

    def client(self, path: str) -> Obj:
        service = {"namespace": self.space.name, "name": NAME, "path": path, "port": PORT}
        return {"service": service, "caBundle": self.ca_bundle}

    def webhook(self, path: str, *rules: Obj, **fields: Any) -> Obj:
        """Called for this namespace only."""
        where = {"matchLabels": {"kubernetes.io/metadata.name": self.space.name}}
        return {
            "name": f"{path[1:]}.webhook.example.com",
            "clientConfig": self.client(path),
            "rules": list(rules),
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "namespaceSelector": where,
            **fields,
        }

    @contextlib.asynccontextmanager
    async def installed(self, resource: str, obj: Obj) -> AsyncIterator[None]:
        """A cluster-wide object while the block runs."""
        name = obj["metadata"]["name"]
        await self.space.client.create(resource, obj)
        try:
            yield
        finally:
            with contextlib.suppress(NotFound):
                await self.space.client.delete(resource, name)


@pytest.fixture
async def served(space: Space) -> Served:
    now = SystemClock().now()
    ca = new_authority("e2e-webhook-ca", now=now, ttl_seconds=3600)
    names = (f"{NAME}.{space.name}.svc",)
    identity = Identity(NAME, dns_names=names, usages=(SERVER_AUTH,))
    pair = Authority(ca).issue(identity, now=now, ttl_seconds=3600)
    container = python_program(WEBHOOK)
    container["env"].append(
        {"name": "SERVING_PEM", "value": (pair.certificate_pem + pair.key_pem).decode()}
    )
    container["readinessProbe"] = {
        "httpGet": {"path": "/ready", "port": PORT, "scheme": "HTTPS"},
        "periodSeconds": 1,
    }
    labels = {"webhook": "true"}
    ports = [{"port": PORT, "targetPort": PORT, "protocol": "TCP"}]
    service = {"metadata": {"name": NAME}, "spec": {"selector": labels, "ports": ports}}
    await space.create("services", service)
    await space.run(pod(NAME, container, labels=labels, volumes=[HOST_VOLUME]), is_ready)
    await space.wait("endpoints", NAME, lambda found: "addresses" in str(found.get("subsets")))
    return Served(space, base64.b64encode(ca.certificate_pem).decode())


def rule(resource: str, *operations: str) -> Obj:
    return {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": list(operations),
        "resources": [resource],
    }


def configuration(sort: str, name: str, *webhooks: Obj) -> Obj:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{sort}WebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": list(webhooks),
    }


VALIDATING = "validatingwebhookconfigurations.admissionregistration.k8s.io"
MUTATING = "mutatingwebhookconfigurations.admissionregistration.k8s.io"


async def test_webhooks_in_pods_deny_and_mutate(served: Served) -> None:
    space = served.space
    denying = served.webhook("/deny", rule("configmaps", "CREATE", "UPDATE"))
    mutating = served.webhook("/mutate", rule("configmaps", "CREATE"))
    attach = served.webhook("/attach", rule("pods/attach", "CONNECT"))
    name = f"e2e-{space.name}"
    async with (
        served.installed(VALIDATING, configuration("Validating", name, denying, attach)),
        served.installed(MUTATING, configuration("Mutating", name, mutating)),
    ):
        unwanted = {"metadata": {"name": "no"}, "data": {"webhook-e2e-test": "webhook-disallow"}}
        with pytest.raises(ApiError) as refused:
            await space.create("configmaps", unwanted)
        assert "the configmap contains unwanted key" in refused.value.message
        made = await space.create("configmaps", {"metadata": {"name": "yes"}, "data": {"a": "b"}})
        assert set(made["data"]) == {"a", "mutated"}
        attached = await space.cluster.kubectl("-n", space.name, "attach", NAME)
        assert attached.code != 0
        assert "attaching to pod is not allowed" in attached.err


async def test_custom_resources_are_converted_by_a_pod(served: Served) -> None:
    space = served.space
    group = f"{space.name}.example.com"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    versions = [
        {
            "name": name,
            "served": True,
            "storage": name == "v1",
            "schema": {"openAPIV3Schema": anything},
        }
        for name in ("v1", "v2")
    ]
    webhook = {"clientConfig": served.client("/convert"), "conversionReviewVersions": ["v1"]}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"places.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "places", "kind": "Place"},
            "versions": versions,
            "conversion": {"strategy": "Webhook", "webhook": webhook},
        },
    }
    resource = "customresourcedefinitions.apiextensions.k8s.io"
    async with served.installed(resource, definition):
        one = f'{{"apiVersion": "{group}/v1", "kind": "Place", "metadata": {{"name": "a"}}, '
        await space.kubectl("create", "-f", "-", stdin=one + '"hostPort": "here:80"}')
        shown = await space.kubectl(
            "get", f"places.v2.{group}", "a", "-o", "jsonpath={.apiVersion} {.host} {.port}"
        )
        assert shown == f"{group}/v2 here 80"


async def test_an_extension_server_in_a_pod_is_aggregated(served: Served) -> None:
    space, name = served.space, "v1alpha1.wardle.example.com"
    service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": name},
        "spec": {
            "group": "wardle.example.com",
            "version": "v1alpha1",
            "service": {"namespace": space.name, "name": NAME, "port": PORT},
            "groupPriorityMinimum": 2000,
            "versionPriority": 200,
            "caBundle": served.ca_bundle,
        },
    }
    async with served.installed("apiservices.apiregistration.k8s.io", service):
        await space.kubectl(
            "wait", "--for=condition=Available", f"apiservice/{name}", "--timeout=60s"
        )
        path = f"/apis/wardle.example.com/v1alpha1/namespaces/{space.name}/flunders/one"
        shown = await space.kubectl("get", "--raw", path)
        assert '"asked-by": "kubernetes-admin"' in shown
        assert "flunders" in await space.kubectl("api-resources", "--api-group=wardle.example.com")
