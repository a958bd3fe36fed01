"""[sig-cli] kubectl, and what it needs of nodes; [sig-auth] tokens that pods get."""

import asyncio
import json

import pytest
from tests.cluster.conformance.agent_programs import cgi_server
from tests.cluster.conformance.cluster import WAIT_SECONDS, Space
from tests.cluster.manifests import FOREVER, is_ready, phase_is, pod, pod_spec, shell

from sagong.api.types import Obj
from sagong.local.images import BUSYBOX_IMAGE

PAUSE = "sagong.local/pause:1"


def controller(name: str, replicas: int, *containers: Obj) -> Obj:
    labels = {"app": "agnhost", "role": name}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(*containers)}
    return {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": replicas, "selector": labels, "template": template},
    }


async def ready(space: Space, count: int, **labels: str) -> list[Obj]:
    """The pods of these labels once that many are ready, and no others are left."""
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    found: list[Obj] = []
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                found = await space.listed("pods", label_selector=selector)
                if len(found) == count and all(is_ready(p) for p in found):
                    return found
                await asyncio.sleep(0.2)
    except TimeoutError:
        pytest.fail(f"{selector}: {[(p['metadata']['name'], p['status']) for p in found]}")


async def create(space: Space, obj: Obj) -> None:
    await space.kubectl("create", "-f", "-", stdin=json.dumps(obj))


async def test_at_least_two_nodes_are_untainted(space: Space) -> None:
    nodes = [item.obj for item in (await space.client.list("nodes")).items]
    usable = [n for n in nodes if is_ready(n) and not n["spec"].get("taints")]
    assert len(usable) >= 2


async def test_describe_tells_of_controllers_pods_and_more(space: Space) -> None:
    await create(space, controller("primary", 1, shell(FOREVER, name="c0")))
    ports = [{"port": 6379, "targetPort": 6379}]
    selector = {"app": "agnhost", "role": "primary"}
    service = {"metadata": {"name": "agnhost", "labels": selector}}
    service["spec"] = {"selector": selector, "ports": ports}
    await create(space, {"apiVersion": "v1", "kind": "Service", **service})
    (one,) = await ready(space, 1, role="primary")
    said = await space.kubectl("describe", "pod", one["metadata"]["name"])
    for line in ("Controlled By:", "Image:", "State:", "QoS Class:"):
        assert line in said
    assert "ReplicationController/primary" in said
    said = await space.kubectl("describe", "rc", "primary")
    for text in (
        f"Namespace:    {space.name}",
        "1 current",
        "1 desired",
        "1 Running",
        "app=agnhost",
        "Pod Template:",
        "SuccessfulCreate",
    ):
        assert text in said, (text, said)
    said = await space.kubectl("describe", "service", "agnhost")
    for text in ("Selector:", "Type:", "ClusterIP", "IP:", "Endpoints:", "Session Affinity:"):
        assert text in said
    said = await space.kubectl("describe", "node", one["spec"]["nodeName"])
    for text in (
        "Labels:",
        "Conditions:",
        "MemoryPressure",
        "DiskPressure",
        "PIDPressure",
        "Ready",
        "Capacity",
        "Pods:",
        "Architecture:",
        "Kubelet Version",
    ):
        assert text in said
    said = await space.kubectl("describe", "namespace", space.name)
    assert "Status:       Active" in said
    await create(
        space,
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "cronjob-test"},
            "spec": {
                "schedule": "59 23 31 12 *",
                "jobTemplate": {
                    "spec": {"template": {"spec": {**pod_spec(), "restartPolicy": "Never"}}}
                },
            },
        },
    )
    said = await space.kubectl("describe", "cronjob", "cronjob-test")
    for text in ("Schedule:", "Concurrency Policy:", "Suspend:", "Active Jobs:", "Events:"):
        assert text in said


async def test_expose_makes_services_of_controllers(space: Space) -> None:
    ports = [{"containerPort": 6379}]
    await create(space, controller("primary", 1, shell(FOREVER, name="c0", ports=ports)))
    await ready(space, 1, role="primary")
    await space.kubectl(
        "expose", "rc", "primary", "--name=rm2", "--port=1234", "--target-port=6379"
    )
    await space.kubectl(
        "expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=6379"
    )
    for name, port in (("rm2", 1234), ("rm3", 2345)):
        service = await space.get("services", name)
        (found,) = service["spec"]["ports"]
        assert (found["port"], found["targetPort"]) == (port, 6379)

        def has_endpoint(endpoints: Obj) -> bool:
            subsets = endpoints.get("subsets") or []
            return [p["port"] for s in subsets if s.get("addresses") for p in s["ports"]] == [6379]

        await space.wait("endpoints", name, has_endpoint)


async def test_patch_annotates_pods_of_a_controller(space: Space) -> None:
    await create(space, controller("primary", 1, shell(FOREVER, name="c0")))
    for found in await ready(space, 1, role="primary"):
        patch = '{"metadata":{"annotations":{"x":"y"}}}'
        await space.kubectl("patch", "pod", found["metadata"]["name"], "-p", patch)
    for found in await ready(space, 1, role="primary"):
        assert found["metadata"]["annotations"]["x"] == "y"


async def test_run_makes_a_pod_that_runs_once(space: Space) -> None:
    await space.kubectl("run", "e2e-test-pod", "--restart=Never", f"--image={BUSYBOX_IMAGE}")
    made = await space.get("pods", "e2e-test-pod")
    assert made["spec"]["containers"][0]["image"] == BUSYBOX_IMAGE
    assert made["spec"]["restartPolicy"] == "Never"
    await space.wait("pods", "e2e-test-pod", phase_is("Running", "Succeeded", "Failed"))


async def test_replace_and_dry_runs_of_images(space: Space) -> None:
    labels = {"run": "e2e-test-pod"}
    await space.run(pod("e2e-test-pod", shell(FOREVER), labels=labels), is_ready)
    image = "jsonpath={.spec.containers[0].image}"
    patch = '{"spec":{"containers":[{"name":"c0","image":"' + PAUSE + '"}]}}'
    name = "pod/e2e-test-pod"
    # Neither a dry run of a patch nor one of a replacement leaves anything.
    said = await space.kubectl("patch", name, "-p", patch, "--dry-run=server", "-o", image)
    assert said == PAUSE
    assert await space.kubectl("get", name, "-o", image) == BUSYBOX_IMAGE
    obj = await space.get("pods", "e2e-test-pod")
    del obj["metadata"]["resourceVersion"]  # the status may change meanwhile
    obj["spec"]["containers"][0]["image"] = PAUSE
    changed = json.dumps(obj)
    await space.kubectl("replace", "--dry-run=server", "-f", "-", stdin=changed)
    assert await space.kubectl("get", name, "-o", image) == BUSYBOX_IMAGE
    await space.kubectl("replace", "-f", "-", stdin=changed)
    assert await space.kubectl("get", name, "-o", image) == PAUSE


# The demonstrations: a controller that grows and shrinks, an application of three tiers


async def test_a_controller_is_scaled_and_stopped(space: Space) -> None:
    serve = cgi_server(80, data="echo Content-Type: application/json; echo; cat /etc/hostname")
    await create(space, controller("update-demo-nautilus", 2, shell(serve, name="c0")))
    for count in (2, 1, 2):
        await space.kubectl("scale", "rc", "update-demo-nautilus", f"--replicas={count}")
        pods = await ready(space, count, role="update-demo-nautilus")
        for found in pods:
            name = found["metadata"]["name"]
            path = f"/api/v1/namespaces/{space.name}/pods/{name}/proxy/cgi-bin/data"
            assert (await space.kubectl("get", "--raw", path)).strip() == name
    manifest = json.dumps(controller("update-demo-nautilus", 2))
    await space.kubectl("delete", "--grace-period=0", "--force", "-f", "-", stdin=manifest)
    left = await space.kubectl("get", "rc,svc", "-l", "role=update-demo-nautilus", "--no-headers")
    assert left == ""
    await ready(space, 0, role="update-demo-nautilus")


async def test_a_guestbook_works_and_stops(space: Space) -> None:
    """A frontend in three pods before a primary and two replicas; an entry is kept and read."""
    save = 'echo "$QUERY_STRING" > /tmp/entry; echo Content-Type: text/plain; echo; echo saved'
    read = "echo Content-Type: text/plain; echo; cat /tmp/entry 2>/dev/null"
    store = cgi_server(6379, save=save, read=read)
    ask = "echo Content-Type: text/plain; echo; wget -qO- http://agnhost-primary:6379/cgi-bin/"
    front = cgi_server(80, set=f'{ask}save?"$QUERY_STRING"', get=f"{ask}read")
    tiers = (
        ("agnhost-primary", 1, store, 6379),
        ("agnhost-replica", 2, store, 6379),
        ("frontend", 3, front, 80),
    )
    manifests = []
    for name, replicas, script, port in tiers:
        labels = {"app": "guestbook", "tier": name}
        service = {"selector": labels, "ports": [{"port": port}]}
        manifests.append(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": service}
        )
        template = {"metadata": {"labels": labels}, "spec": pod_spec(shell(script, name="c0"))}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        manifests.append(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}}
            | {"spec": spec}
        )
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    await space.kubectl("create", "-f", "-", stdin=listed)
    await ready(space, 6, app="guestbook")
    base = f"/api/v1/namespaces/{space.name}/services/frontend/proxy/cgi-bin"

    async def asked(path: str, wanted: str) -> None:
        """Until the answer is what is wanted: services take a moment to be programmed."""
        said = ""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while said.strip() != wanted:
                    done = await space.cluster.kubectl("get", "--raw", f"{base}/{path}")
                    said = done.out
        except TimeoutError:
            pytest.fail(f"{path}: {said!r}")

    await asked("get", "")
    await asked("set?entry=TestEntry", "saved")
    await asked("get", "entry=TestEntry")
    await space.kubectl("delete", "--grace-period=0", "--force", "-f", "-", stdin=listed)
    await ready(space, 0, app="guestbook")


# Tokens

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


async def test_pods_get_a_token_that_the_api_believes(space: Space) -> None:
    await space.create("serviceaccounts", {"metadata": {"name": "mount-test"}})
    manifest = pod("mounted", shell(FOREVER), serviceAccountName="mount-test")
    manifest["spec"]["automountServiceAccountToken"] = True
    await space.run(manifest, is_ready)
    token = await space.shell("mounted", f"cat {ACCOUNT}/token")
    authority = await space.shell("mounted", f"cat {ACCOUNT}/ca.crt")
    assert await space.shell("mounted", f"cat {ACCOUNT}/namespace") == space.name
    config = await space.get("configmaps", "kube-root-ca.crt")
    assert authority == config["data"]["ca.crt"]
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    text = json.dumps({**review, "spec": {"token": token}})
    said = json.loads(await space.kubectl("create", "-o", "json", "-f", "-", stdin=text))
    assert said["status"]["authenticated"] is True
    account = f"system:serviceaccount:{space.name}:mount-test"
    assert said["status"]["user"]["username"] == account
    groups = {"system:serviceaccounts", f"system:serviceaccounts:{space.name}"}
    assert groups <= set(said["status"]["user"]["groups"])


async def test_a_projected_token_is_mounted(space: Space) -> None:
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 7200}}
    volume = {"name": "sa", "projected": {"sources": [source]}}
    mount = {"name": "sa", "mountPath": "/var/run/secrets/tokens"}
    container = shell("cat /var/run/secrets/tokens/token", volumeMounts=[mount])
    await space.run(
        pod("projected", container, volumes=[volume], restartPolicy="Never"),
        phase_is("Succeeded"),
    )
    token = (await space.logs("projected")).strip()
    assert len(token.split(".")) == 3
