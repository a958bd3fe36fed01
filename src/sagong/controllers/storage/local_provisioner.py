"""Make and remove volumes that are directories on a node: the default storage class.

Reads: PersistentVolumeClaim, PersistentVolume, StorageClass, Node, Pod.
Writes: PersistentVolume (create, delete), Pod (the helpers that make and remove directories).
Invariant: a volume exists only after its directory does, and goes only after its directory has
gone. The directory's name holds the claim's uid, so every step can be repeated.

The work on the node is done by a helper pod, as any other pod's, so that it works with every
conformant agent and needs no privileges besides those of creating a pod.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

from sagong.api.errors import AlreadyExists, NotFound
from sagong.api.local_volumes import DIRECTORY_ANNOTATION, PROVISIONER
from sagong.api.meta import (
    annotations_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from sagong.api.types import Key, Obj
from sagong.api.volumes import (
    CLAIMS,
    CLASSES,
    PROVISIONED_BY,
    SELECTED_NODE,
    VOLUMES,
    annotated,
    claim_reference,
    class_of,
    phase_of,
)
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, Watch

DEFAULT_DIRECTORY = "/var/lib/sagong/volumes"
HELPER_NAMESPACE = "kube-system"
HELPER_LABEL = "sagong.dev/volume-helper"
_HOSTNAME = "kubernetes.io/hostname"


def _volume_name(claim: Obj) -> str:
    return f"pvc-{uid_of(claim)}"


def _claim_wakes_volume(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    claim = new or old
    return [Key("", _volume_name(claim))] if claim else []


def _helper_wakes_claim(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    pod = new or old
    key = annotations_of(pod).get(f"{HELPER_LABEL}-claim", "") if pod else ""
    namespace, _, name = key.partition("/")
    return [Key(namespace, name)] if name else []


def _helper_wakes_volume(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    pod = new or old
    name = labels_of(pod).get(HELPER_LABEL) if pod else None
    return [Key("", name)] if name else []


MAKER = Controller(
    name="local-volume-provisioner",
    reconciles=CLAIMS,
    watches=(
        Watch("pods", _helper_wakes_claim),
        Watch(CLASSES),
        Watch("nodes"),
        Watch(VOLUMES),
    ),
    component=PROVISIONER,
)
REMOVER = Controller(
    name="local-volume-remover",
    reconciles=VOLUMES,
    watches=(Watch("pods", _helper_wakes_volume), Watch("nodes")),
    component=PROVISIONER,
)


class Work(Enum):
    """What a helper pod does; the shell commands get the directory as their argument."""

    MAKE = 'mkdir -p -m 0777 "$0" && chmod 0777 "$0"'
    REMOVE = 'rm -rf -- "$0"'


@dataclass(frozen=True, slots=True)
class Wanted:
    """A claim that is to be provisioned on a node."""

    claim: Obj
    storage_class: Obj
    node: Obj


def observe_claim(key: Key, cache: Cache) -> Wanted | None:
    claim = cache.get(CLAIMS, key.namespace, key.name)
    if claim is None or is_deleting(claim) or claim["spec"].get("volumeName"):
        return None
    storage_class = cache.get(CLASSES, "", class_of(claim))
    if storage_class is None or storage_class.get("provisioner") != PROVISIONER:
        return None
    node = cache.get("nodes", "", annotated(claim, SELECTED_NODE) or "")
    if node is None or cache.get(VOLUMES, "", _volume_name(claim)) is not None:
        return None
    return Wanted(claim, storage_class, node)


def directory_of(node: Obj, volume_name: str) -> str:
    base = annotations_of(node).get(DIRECTORY_ANNOTATION) or DEFAULT_DIRECTORY
    return str(PurePosixPath(base) / volume_name)


def plan_volume(wanted: Wanted) -> Obj:
    """The volume of a claim: a directory that is reached from one node only."""
    claim, storage_class = wanted.claim, wanted.storage_class
    hostname = labels_of(wanted.node).get(_HOSTNAME) or name_of(wanted.node)
    term = {"matchExpressions": [{"key": _HOSTNAME, "operator": "In", "values": [hostname]}]}
    name = _volume_name(claim)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "accessModes": claim["spec"].get("accessModes") or ["ReadWriteOnce"],
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "claimRef": claim_reference(claim),
            "local": {"path": directory_of(wanted.node, name)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "storageClassName": name_of(storage_class),
            "volumeMode": "Filesystem",
        },
    }


def plan_helper(work: Work, volume_name: str, node: str, directory: str, image: str) -> Obj:
    """A pod that does one piece of work in the directory's parent and ends."""
    path = PurePosixPath(directory)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{work.name.lower()}-{volume_name}",
            "namespace": HELPER_NAMESPACE,
            "labels": {HELPER_LABEL: volume_name},
        },
        "spec": {
            "nodeName": node,
            "restartPolicy": "OnFailure",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "priorityClassName": "system-node-critical",
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "helper",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", work.value, f"/volumes/{path.name}"],
                    "volumeMounts": [{"name": "volumes", "mountPath": "/volumes"}],
                    "securityContext": {"runAsUser": 0},
                }
            ],
            "volumes": [
                {
                    "name": "volumes",
                    "hostPath": {"path": str(path.parent), "type": "DirectoryOrCreate"},
                }
            ],
        },
    }


def makers(helper_image: str) -> Sequence[tuple[Controller, Reconcile]]:
    """Both controllers, with the image (it must have a shell) that helper pods run."""

    async def make(key: Key, env: Env) -> Result:
        wanted = observe_claim(key, env.cache)
        if wanted is None:
            await _remove_helper(Work.MAKE, key, env)
            return DONE
        volume = plan_volume(wanted)
        directory = volume["spec"]["local"]["path"]
        helper = plan_helper(
            Work.MAKE, name_of(volume), name_of(wanted.node), directory, helper_image
        )
        helper["metadata"]["annotations"] = {f"{HELPER_LABEL}-claim": str(key)}
        if not await _has_run(helper, env):
            return DONE
        await env.client.create(VOLUMES, volume)
        message = f"Successfully provisioned volume {name_of(volume)}"
        env.events.emit(wanted.claim, "Normal", "ProvisioningSucceeded", message)
        await _delete_pod(helper, env)
        return DONE

    async def remove(key: Key, env: Env) -> Result:
        volume = env.cache.get(VOLUMES, "", key.name)
        if volume is None or annotated(volume, PROVISIONED_BY) != PROVISIONER:
            return DONE
        policy = volume["spec"].get("persistentVolumeReclaimPolicy")
        if phase_of(volume) != "Released" or policy != "Delete" or is_deleting(volume):
            return DONE
        node = _node_of(volume, env.cache)
        if node is not None:
            directory = volume["spec"]["local"]["path"]
            helper = plan_helper(Work.REMOVE, key.name, name_of(node), directory, helper_image)
            if not await _has_run(helper, env):
                return DONE
            await _delete_pod(helper, env)
        # A node that is gone took the directory with it.
        await env.client.delete(VOLUMES, key.name, uid=uid_of(volume))
        return DONE

    return ((MAKER, make), (REMOVER, remove))


def _node_of(volume: Obj, cache: Cache) -> Obj | None:
    term = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]
    hostname = term["matchExpressions"][0]["values"][0]
    for node in cache.list("nodes"):
        if (labels_of(node).get(_HOSTNAME) or name_of(node)) == hostname:
            return node
    return None


async def _has_run(helper: Obj, env: Env) -> bool:
    """Start the helper unless it is there; True once it has succeeded."""
    current = env.cache.get("pods", HELPER_NAMESPACE, name_of(helper))
    if current is None:
        try:
            await env.client.create("pods", helper)
        except AlreadyExists:
            return False
        return False
    return phase_of(current) == "Succeeded"


async def _remove_helper(work: Work, claim: Key, env: Env) -> None:
    """A claim that no longer wants a volume leaves no helper behind."""
    for pod in env.cache.list("pods", HELPER_NAMESPACE):
        mine = annotations_of(pod).get(f"{HELPER_LABEL}-claim") == str(claim)
        if mine and name_of(pod).startswith(work.name.lower()):
            await _delete_pod(pod, env)


async def _delete_pod(pod: Obj, env: Env) -> None:
    try:
        await env.client.delete(
            "pods", name_of(pod), namespace=namespace_of(pod), grace_period_seconds=0
        )
    except NotFound:
        return
