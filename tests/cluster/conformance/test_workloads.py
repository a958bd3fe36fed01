"""Workloads whose conformance needs containers, and the accounts that their pods act as."""

import asyncio
import base64
import json

import pytest
from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import is_ready, phase_is, pod, pod_spec, shell

from sagong.api.types import Obj

SERVER = "hostname > /tmp/index.html; exec httpd -f -p 80 -h /tmp"


@pytest.mark.parametrize(
    ("resource", "kind", "version"),
    [
        ("replicasets.apps", "ReplicaSet", "apps/v1"),
        ("replicationcontrollers", "ReplicationController", "v1"),
    ],
)
async def test_each_replica_serves(space: Space, resource: str, kind: str, version: str) -> None:
    labels = {"name": "web"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(shell(SERVER))}
    selector: Obj = labels if kind == "ReplicationController" else {"matchLabels": labels}
    spec = {"replicas": 2, "selector": selector, "template": template}
    owner = {"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, "spec": spec}
    await space.create(resource, owner)
    await space.wait(resource, "web", lambda o: o["status"].get("availableReplicas") == 2)
    pods = await space.listed("pods", label_selector="name=web")
    assert len(pods) == 2
    await space.run(pod("asks"), is_ready)
    for found in pods:
        answer = await space.shell("asks", f"wget -qO- http://{found['status']['podIP']}")
        assert answer.strip() == found["metadata"]["name"]


async def test_a_busy_deployment_grows_and_an_idle_one_shrinks(space: Space) -> None:
    """By what kubelets measure: the whole way from a container's cgroup to the number of pods."""
    busy = "while [ ! -e /tmp/idle ]; do :; done; exec sleep 3600"
    limits = {"requests": {"cpu": "50m"}, "limits": {"cpu": "100m"}}
    template = {"metadata": {"labels": {"app": "web"}},
                "spec": pod_spec(shell(busy, resources=limits))}  # fmt: skip
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    await space.create("deployments.apps", {"metadata": {"name": "web"}, "spec": spec})
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    metric = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    scaler = {
        "scaleTargetRef": target,
        "maxReplicas": 2,
        "metrics": [{"type": "Resource", "resource": metric}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
    }
    resource = "horizontalpodautoscalers.autoscaling"
    await space.create(resource, {"metadata": {"name": "web"}, "spec": scaler})
    await space.wait("deployments.apps", "web", lambda d: d["spec"]["replicas"] == 2)
    found = await space.wait(resource, "web", lambda a: bool(a["status"].get("currentMetrics")))
    current = found["status"]["currentMetrics"][0]["resource"]["current"]
    assert current["averageUtilization"] > 80
    why = "cpu resource utilization (percentage of request) above target"
    told = await space.wait_event("web", "SuccessfulRescale")
    assert told == f"New size: 2; reason: {why}"
    await space.wait("deployments.apps", "web", lambda d: d["status"].get("readyReplicas") == 2)
    for found in await space.listed("pods", label_selector="app=web"):
        await space.shell(found["metadata"]["name"], "touch /tmp/idle")
    await space.wait("deployments.apps", "web", lambda d: d["spec"]["replicas"] == 1)


def holding_port(name: str, node: str) -> Obj:
    made = pod(name, nodeName=node)
    port = {"containerPort": 21017, "hostPort": 21017, "name": "conflict"}
    made["spec"]["containers"][0]["ports"] = [port]
    return made


async def test_a_stateful_pod_that_its_node_refuses_comes_back(space: Space) -> None:
    """As long as a port is taken each pod of that name fails; when it is free, one runs."""
    node = space.cluster.nodes[0]
    await space.run(holding_port("holder", node), is_ready)
    template = holding_port("ss", node)
    spec = {
        "replicas": 1,
        "serviceName": "test",
        "selector": {"matchLabels": {"app": "ss"}},
        "template": {"metadata": {"labels": {"app": "ss"}}, "spec": template["spec"]},
    }
    service = {"clusterIP": "None", "selector": {"app": "ss"}, "ports": [{"port": 80}]}
    await space.create("services", {"metadata": {"name": "test"}, "spec": service})
    await space.create("statefulsets.apps", {"metadata": {"name": "ss"}, "spec": spec})
    seen = await _failed_pods(space, 2)
    assert len(seen) >= 2
    await space.delete("pods", "holder", grace_period_seconds=0)
    await space.wait("pods", "ss-0", is_ready)
    await space.wait("statefulsets.apps", "ss", lambda s: s["status"].get("readyReplicas") == 1)


async def _failed_pods(space: Space, count: int) -> set[str]:
    """uids of pods named ss-0 that failed."""
    seen: set[str] = set()
    async with asyncio.timeout(60):
        events = await space.client.watch("pods", namespace=space.name)
        async for event in events:
            found = event.obj
            failed = (found.get("status") or {}).get("phase") == "Failed"
            if found["metadata"].get("name") == "ss-0" and failed:
                seen.add(found["metadata"]["uid"])
                if len(seen) >= count:
                    return seen
    return seen


MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


async def test_the_account_is_mounted(space: Space) -> None:
    """Its token, the cluster's root certificate and the namespace; the token is accepted."""
    await space.create("serviceaccounts", {"metadata": {"name": "mount-test"}})
    await space.run(
        pod("uses", automountServiceAccountToken=None, serviceAccountName="mount-test"), is_ready
    )
    assert await space.shell("uses", f"cat {MOUNT}/namespace") == space.name
    root = (await space.get("configmaps", "kube-root-ca.crt"))["data"]["ca.crt"]
    assert await space.shell("uses", f"cat {MOUNT}/ca.crt") == root
    token = (await space.shell("uses", f"cat {MOUNT}/token")).strip()
    user = f"system:serviceaccount:{space.name}:mount-test"
    review = await space.client.create(
        "tokenreviews.authentication.k8s.io",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "metadata": {},
            "spec": {"token": token},
        },
    )
    assert review["status"]["authenticated"]
    assert review["status"]["user"]["username"] == user


@pytest.mark.parametrize(
    ("security", "mode", "owner"),
    [
        ({}, "644", "0:0"),
        ({"fsGroup": 10000}, "640", "0:10000"),
        ({"runAsUser": 1000}, "600", "1000:0"),
        ({"runAsUser": 1000, "fsGroup": 10000}, "640", "1000:10000"),
    ],
)
async def test_a_projected_token_is_readable_by_its_pod(
    space: Space, security: Obj, mode: str, owner: str
) -> None:
    sources = [{"serviceAccountToken": {"path": "test", "expirationSeconds": 600}}]
    volume = {"name": "token", "projected": {"defaultMode": 420, "sources": sources}}
    script = "stat -L -c '%a %u:%g' /var/token/test; cut -d. -f2 /var/token/test"
    made = pod(
        "reads",
        shell(script, volumeMounts=[{"name": "token", "mountPath": "/var/token"}]),
        volumes=[volume],
        securityContext=security,
        restartPolicy="Never",
    )
    await space.run(made, phase_is("Succeeded", "Failed"))
    shown, claims = (await space.logs("reads")).splitlines()
    assert shown == f"{mode} {owner}"
    assert json.loads(_decoded(claims))["sub"] == f"system:serviceaccount:{space.name}:default"


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
