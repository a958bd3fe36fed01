"""The Node authorizer: what a node may read follows its pods."""

from typing import Any

import pytest

from sagong.api.pod_references import references
from sagong.api.types import Obj, User
from sagong.server.authz.interface import Attributes, Effect
from sagong.server.authz.node import NodeAuthorizer

from .objects import Objects

NODE = User("system:node:n1", groups=("system:nodes", "system:authenticated"))
OTHER = User("system:node:n2", groups=("system:nodes",))


def pod(**spec: Any) -> Obj:
    return {
        "metadata": {"name": "p", "namespace": "one"},
        "spec": {"nodeName": "n1", "serviceAccountName": "robot", "containers": [], **spec},
    }


EVERYTHING = pod(
    imagePullSecrets=[{"name": "pull"}],
    containers=[
        {
            "name": "c",
            "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "cm-env", "key": "k"}}},
            ],
            "envFrom": [{"secretRef": {"name": "from"}}, {"configMapRef": {"name": "cm-from"}}],
        }
    ],
    volumes=[
        {"name": "s", "secret": {"secretName": "vol"}},
        {"name": "c", "configMap": {"name": "cm-vol"}},
        {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "e", "ephemeral": {}},
        {
            "name": "p",
            "projected": {
                "sources": [{"secret": {"name": "proj"}}, {"configMap": {"name": "cm-proj"}}]
            },
        },
        {"name": "x", "csi": {"nodePublishSecretRef": {"name": "csi"}}},
    ],
)


def test_what_a_pod_names() -> None:
    assert set(references(EVERYTHING)) == {
        ("serviceaccounts", "robot"),
        *(("secrets", n) for n in ("pull", "env", "from", "vol", "proj", "csi")),
        *(("configmaps", n) for n in ("cm-env", "cm-from", "cm-vol", "cm-proj")),
        ("persistentvolumeclaims", "data"),
        ("persistentvolumeclaims", "p-e"),
    }


async def test_certificates_of_ingresses_that_nodes_serve_are_for_every_node(
    objects: Objects,
) -> None:
    ours = {"metadata": {"name": "sagong"}, "spec": {"controller": "sagong.io/ingress"}}
    theirs = {"metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}}
    for made in (ours, theirs):
        objects.put("ingressclasses.networking.k8s.io", made)
    for name in ("sagong", "nginx"):
        spec = {"ingressClassName": name, "tls": [{"secretName": f"pair-{name}"}]}
        metadata = {"name": name, "namespace": "two"}
        objects.put("ingresses.networking.k8s.io", {"metadata": metadata, "spec": spec})

    async def may(verb: str, namespace: str, name: str) -> bool:
        asked = Attributes(NODE, verb, resource="secrets", namespace=namespace, name=name)
        return (await NodeAuthorizer(objects).authorize(asked)).effect is Effect.ALLOW

    assert await may("get", "two", "pair-sagong")
    assert not await may("get", "two", "pair-nginx")
    assert not await may("get", "one", "pair-sagong")
    assert not await may("update", "two", "pair-sagong")
    assert not await may("list", "two", "")


@pytest.fixture
def objects() -> Objects:
    made = Objects()
    made.put("pods", EVERYTHING)
    volume = {"claimRef": {"namespace": "one", "name": "data"}}
    volume |= {"csi": {"nodeStageSecretRef": {"namespace": "storage", "name": "stage"}}}
    made.put("persistentvolumes", {"metadata": {"name": "pv"}, "spec": volume})
    return made


def asked(user: User, verb: str, resource: str, **fields: Any) -> Attributes:
    return Attributes(user, verb, resource=resource, **fields)


ONE = {"namespace": "one"}
LEASES = {"group": "coordination.k8s.io", "namespace": "kube-node-lease"}
APPROVED = [
    ("get", "secrets", {**ONE, "name": "env"}),
    ("watch", "secrets", {**ONE, "name": "env"}),
    ("get", "configmaps", {**ONE, "name": "cm-proj"}),
    ("get", "persistentvolumeclaims", {**ONE, "name": "data"}),
    ("get", "persistentvolumes", {"name": "pv"}),
    ("get", "secrets", {"namespace": "storage", "name": "stage"}),
    ("create", "serviceaccounts", {**ONE, "name": "robot", "subresource": "token"}),
    ("get", "pods", {**ONE, "name": "p"}),
]
REFUSED = [
    ("list", "secrets", ONE, "No Object name found"),
    ("get", "secrets", {**ONE, "name": "other"}, "no relationship found"),
    ("get", "secrets", {"namespace": "two", "name": "env"}, "no relationship found"),
    ("update", "secrets", {**ONE, "name": "env"}, "can only read resources of this type"),
    ("list", "persistentvolumes", {}, "can only get individual resources"),
    ("create", "serviceaccounts", {**ONE, "name": "x", "subresource": "token"}, "no relation"),
    ("list", "pods", {}, "can only list/watch pods with spec.nodeName field selector"),
    ("list", "nodes", {}, "cannot read all nodes, only its own Node object"),
    ("get", "nodes", {"name": "n2"}, "node 'n1' cannot read 'n2', only its own Node object"),
    ("get", "leases", {**LEASES, "name": "n2"}, "with the same name as the requesting node"),
    ("get", "leases", {**LEASES, "namespace": "x", "name": "n1"}, "kube-node-lease"),
]
OWN = [
    ("get", "leases", {**LEASES, "name": "n1"}),
    ("create", "leases", LEASES),
    ("get", "nodes", {"name": "n1"}),
    ("list", "nodes", {"name": "n1"}),
    ("create", "nodes", {}),
    ("patch", "nodes", {"name": "n1", "subresource": "status"}),
    ("list", "pods", {"field_selector": "spec.nodeName=n1"}),
    ("patch", "pods", {"name": "p", "subresource": "status", **ONE}),
    ("list", "services", {}),
    ("create", "events", ONE),
    ("create", "certificatesigningrequests", {"group": "certificates.k8s.io"}),
]


@pytest.mark.parametrize(("verb", "resource", "fields"), [*APPROVED, *OWN])
async def test_allowed(objects: Objects, verb: str, resource: str, fields: Any) -> None:
    decision = await NodeAuthorizer(objects).authorize(asked(NODE, verb, resource, **fields))
    assert decision.effect is Effect.ALLOW, decision.reason


@pytest.mark.parametrize(("verb", "resource", "fields"), APPROVED)
async def test_not_for_other_nodes(objects: Objects, verb: str, resource: str, fields: Any) -> None:
    decision = await NodeAuthorizer(objects).authorize(asked(OTHER, verb, resource, **fields))
    assert decision.effect is Effect.NO_OPINION
    assert "no relationship found between node 'n2' and this object" in decision.reason


@pytest.mark.parametrize(("verb", "resource", "fields", "why"), REFUSED)
async def test_refused(objects: Objects, verb: str, resource: str, fields: Any, why: str) -> None:
    decision = await NodeAuthorizer(objects).authorize(asked(NODE, verb, resource, **fields))
    assert decision.effect is Effect.NO_OPINION
    assert why in decision.reason


async def test_others_are_not_its_concern(objects: Objects) -> None:
    question = asked(User("system:node:n1"), "get", "secrets", namespace="one", name="env")
    decision = await NodeAuthorizer(objects).authorize(question)
    assert (decision.effect, decision.reason) == (Effect.NO_OPINION, "")
