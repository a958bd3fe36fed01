"""What runs while the cluster is tormented, and what users do to it meanwhile."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sagong.api.errors import ApiError, Conflict
from sagong.api.types import Obj

from .place import NAMESPACE, World

NODE_PORT = 30088
IMAGE = "sagong.local/busybox:1"
REPLICAS = 6
STATEFUL = 3
COMPLETIONS = 6

_SERVE = """\
mkdir -p /tmp/www; echo "web $POD_NAME" > /tmp/www/index.html
trap 'kill $child; exit 0' TERM
httpd -f -p 8080 -h /tmp/www & child=$!; wait $child
"""
# Its argument names the identity, for whoever looks at processes.
_KEEP = """\
trap 'exit 0' TERM
echo "$POD_UID" >> /data/starts; sync
while :; do sleep 1; done
"""
_COUNT = """\
echo "$POD_UID $INDEX" >> /shared/runs-$JOB; sync; sleep $((INDEX % 3 + 1))
"""
_SOON = [
    {
        "key": f"node.kubernetes.io/{what}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 10,
    }
    for what in ("not-ready", "unreachable")
]


def _field(name: str, path: str) -> Obj:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _container(script: str, *arguments: str, **more: Any) -> Obj:
    given: list[Obj] = more.pop("env", [])
    env = [_field("POD_NAME", "metadata.name"), _field("POD_UID", "metadata.uid"), *given]
    command = ["sh", "-c", script, *arguments]
    return {"name": "c", "image": IMAGE, "command": command, "env": env, **more}


def _pod(app: str, container: Obj, **more: Any) -> Obj:
    spec = {
        "containers": [container],
        "tolerations": _SOON,
        "terminationGracePeriodSeconds": 5,
        **more,
    }
    return {"metadata": {"labels": {"app": app}}, "spec": spec}


def _workload(kind: str, app: str, template: Obj, **spec: Any) -> Obj:
    selector = {"matchLabels": {"app": app}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": app, "namespace": NAMESPACE},
        "spec": {"selector": selector, "template": template, **spec},
    }


def _service(name: str, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}], **spec},
    }


def _web() -> Obj:
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 2, "timeoutSeconds": 2}
    volumes = [
        {"name": "token", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "settings", "configMap": {"name": "kube-root-ca.crt"}},
    ]
    mounts = [{"name": v["name"], "mountPath": f"/{v['name']}"} for v in volumes]
    container = _container(_SERVE, readinessProbe=probe, livenessProbe=probe, volumeMounts=mounts)
    strategy = {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}}
    template = _pod("web", container, volumes=volumes)
    return _workload("Deployment", "web", template, replicas=REPLICAS, strategy=strategy)


def _stateful() -> Obj:
    mounts = [{"name": "data", "mountPath": "/data"}]
    container = _container(_KEEP, "identity=$(POD_NAME)", volumeMounts=mounts)
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "resources": {"requests": {"storage": "10Mi"}},
        },
    }
    more = {"serviceName": "data", "replicas": STATEFUL, "podManagementPolicy": "Parallel"}
    return _workload(
        "StatefulSet", "data", _pod("data", container), volumeClaimTemplates=[claim], **more
    )


def _job(name: str, shared: str) -> Obj:
    env = [
        {"name": "JOB", "value": name},
        _field("INDEX", "metadata.annotations['batch.kubernetes.io/job-completion-index']"),
    ]
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    volumes = [{"name": "shared", "hostPath": {"path": shared}}]
    container = _container(_COUNT, env=env, volumeMounts=mounts)
    template = _pod("job", container, restartPolicy="Never", volumes=volumes)
    spec = {
        "completions": COMPLETIONS,
        "parallelism": 3,
        "completionMode": "Indexed",
        "backoffLimit": 100,
        "template": template,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }


async def set_up(world: World) -> None:
    client = world.client
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await client.create("namespaces", namespace)
    port = {"port": 80, "targetPort": 8080, "nodePort": NODE_PORT}
    await client.create("services", _service("web", type="NodePort", ports=[port]))
    await client.create("services", _service("data", clusterIP="None"))
    await client.create("deployments.apps", _web())
    await client.create("statefulsets.apps", _stateful())
    every = _pod("every", _container("trap 'exit 0' TERM; while :; do sleep 1; done"))
    await client.create("daemonsets.apps", _workload("DaemonSet", "every", every))


@dataclass(slots=True)
class Doing:
    """What a user does in a round, and whose pods it concerns."""

    text: str
    apps: frozenset[str] = frozenset()  # whose pods come and go by it
    pod: str = ""  # the uid of a pod that is deleted
    job: str = ""


async def act(world: World, chance: random.Random, number: int) -> Doing:
    """One thing that a user does, just before the faults."""
    what = chance.choice(("nothing", "job", "job", "roll out", "scale", "delete", "force"))
    client = world.client
    if what == "job":
        name = f"count-{number}"
        await client.create("jobs.batch", _job(name, str(world.place.shared)))
        return Doing(what, job=name)
    if what in ("roll out", "scale"):
        patch: Mapping[str, Any] = {"spec": {"replicas": chance.randint(3, 9)}}
        if what == "roll out":
            labels = {"annotations": {"round": str(number)}}
            patch = {"spec": {"template": {"metadata": labels}}}
        await client.patch("deployments.apps", "web", patch, namespace=NAMESPACE)
        return Doing(what, apps=frozenset({"web"}))
    if what == "nothing":
        return Doing(what)
    listing = await client.list("pods", namespace=NAMESPACE)
    pods = sorted((item.obj for item in listing.items), key=lambda p: str(p["metadata"]["name"]))
    victim = chance.choice(pods)["metadata"]
    seconds = 0 if what == "force" and victim["labels"]["app"] != "data" else None
    try:
        await client.delete(
            "pods",
            victim["name"],
            namespace=NAMESPACE,
            uid=victim["uid"],
            grace_period_seconds=seconds,
        )
    except (ApiError, Conflict) as error:
        return Doing(f"{what}: {error}")
    return Doing(f"{what} {victim['name']}", pod=victim["uid"])
