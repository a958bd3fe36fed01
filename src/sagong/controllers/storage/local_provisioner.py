"""Make and remove volumes that are directories on a node: the default storage class.

Reads: PersistentVolumeClaim, PersistentVolume, StorageClass, Node, Pod.
Writes: PersistentVolume (create, delete), Pod (the helpers that make and remove directories).
Invariant: a volume exists only after its directory does, and goes only after its directory has
gone. The directory's name holds the claim's uid, so every step can be repeated.

Of classes that wait for the first consumer the scheduler has chosen the node; of others, that bind
immediately, the node with the fewest of our volumes is taken. A volume is a directory of one node:
what one cannot be (a block device, a copy, shared by nodes) is refused, and told on the claim.

The work on the node is done by a helper pod, as any other pod's, so that it works with every
conformant agent and needs no privileges besides those of creating a pod.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

from sagong.api import quantities
from sagong.api.errors import AlreadyExists, NotFound
from sagong.api.local_volumes import DIRECTORY_ANNOTATION, PROVISIONER
from sagong.api.meta import (
    annotations_of,
    condition,
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
    mode_of,
    phase_of,
    wanted_bytes,
    with_annotations,
)
from sagong.ctl.controller import (
    DONE,
    Cache,
    Controller,
    Env,
    Reconcile,
    Result,
    Watch,
    after,
)

DEFAULT_DIRECTORY = "/var/lib/sagong/volumes"
HELPER_NAMESPACE = "kube-system"
HELPER_LABEL = "sagong.dev/volume-helper"
_HOSTNAME = "kubernetes.io/hostname"
RETRY_SECONDS = 15.0  # of a claim that cannot be provisioned as things are


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


@dataclass(frozen=True, slots=True)
class Chosen:
    """A claim of an immediate class, and the node for its volume; None: no node fits."""

    claim: Obj
    node: Obj | None


def observe_unplaced(key: Key, cache: Cache) -> Chosen | None:
    """A claim that nobody will choose a node for but us."""
    claim, storage_class = _claim_of_ours(key, cache)
    if claim is None or storage_class is None or annotated(claim, SELECTED_NODE):
        return None
    if storage_class.get("volumeBindingMode") == "WaitForFirstConsumer":
        return None
    ours = (v for v in cache.list(VOLUMES) if annotated(v, PROVISIONED_BY) == PROVISIONER)
    taken = Counter(_hostname_of(volume) for volume in ours)
    return Chosen(claim, choose_node(storage_class, cache.list("nodes"), taken))


def choose_node(storage_class: Obj, nodes: Iterable[Obj], taken: Mapping[str, int]) -> Obj | None:
    """A usable node of the class's topologies with the fewest volumes, then by name."""
    topologies = storage_class.get("allowedTopologies")
    usable = [
        node
        for node in nodes
        if not (node.get("spec") or {}).get("unschedulable")
        and (condition(node, "Ready") or {}).get("status") == "True"
        and _is_allowed(topologies, labels_of(node))
    ]
    return min(usable, key=lambda n: (taken.get(_label(n), 0), name_of(n)), default=None)


def _is_allowed(topologies: Sequence[Obj] | None, labels: Mapping[str, str]) -> bool:
    """Any term, of which every expression has a value that the node has."""
    return not topologies or any(
        all(labels.get(e["key"]) in e["values"] for e in term.get("matchLabelExpressions") or ())
        for term in topologies
    )


def refusal(wanted: Wanted) -> str:
    """Why the claim cannot be provisioned; "" if it can."""
    spec = wanted.claim["spec"]
    if mode_of(wanted.claim) == "Block":
        return f"{PROVISIONER} does not support block volume provisioning"
    shared = set(spec.get("accessModes") or ()) - {"ReadWriteOnce", "ReadWriteOncePod"}
    if shared:
        return (
            "only the access modes ReadWriteOnce and ReadWriteOncePod are supported, "
            f"not {', '.join(sorted(shared))}"
        )
    if spec.get("dataSource") or spec.get("dataSourceRef"):
        return "volumes cannot be made from a data source"
    if spec.get("selector"):
        return "claim.Spec.Selector is not supported"
    room = (wanted.node.get("status") or {}).get("capacity") or {}
    disk = quantities.parse(room.get("ephemeral-storage") or "0").value
    if disk and wanted_bytes(wanted.claim) > disk:
        return f"node {name_of(wanted.node)} has no room for {_size(wanted.claim)}"
    return ""


def _size(claim: Obj) -> str:
    return str(claim["spec"]["resources"]["requests"]["storage"])


def _claim_of_ours(key: Key, cache: Cache) -> tuple[Obj | None, Obj | None]:
    """A claim that waits for a volume of ours, and its class."""
    claim = cache.get(CLAIMS, key.namespace, key.name)
    if claim is None or is_deleting(claim) or claim["spec"].get("volumeName"):
        return None, None
    storage_class = cache.get(CLASSES, "", class_of(claim))
    if storage_class is None or storage_class.get("provisioner") != PROVISIONER:
        return None, None
    return claim, storage_class


def observe_claim(key: Key, cache: Cache) -> Wanted | None:
    claim, storage_class = _claim_of_ours(key, cache)
    if claim is None or storage_class is None:
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
    hostname = _label(wanted.node)
    term = {"matchExpressions": [{"key": _HOSTNAME, "operator": "In", "values": [hostname]}]}
    name = _volume_name(claim)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "accessModes": claim["spec"].get("accessModes") or ["ReadWriteOnce"],
            "capacity": {"storage": _size(claim)},
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
        unplaced = observe_unplaced(key, env.cache)
        if unplaced is not None:
            return await _place(unplaced, env)
        wanted = observe_claim(key, env.cache)
        if wanted is None:
            await _remove_helper(Work.MAKE, key, env)
            return DONE
        if text := refusal(wanted):
            return await _refuse(wanted, text, env)
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


async def _place(chosen: Chosen, env: Env) -> Result:
    """Write the node on the claim; the change brings the claim back to us."""
    if chosen.node is None:
        text = _failed(chosen.claim, "no topology key found on any usable node")
        env.events.emit(chosen.claim, "Warning", "ProvisioningFailed", text)
        return after(RETRY_SECONDS)
    placed = with_annotations(chosen.claim, {SELECTED_NODE: name_of(chosen.node)})
    await env.client.update(CLAIMS, placed)
    return DONE


async def _refuse(wanted: Wanted, text: str, env: Env) -> Result:
    """Say so; where the scheduler has chosen the node, let it choose again."""
    claim = wanted.claim
    env.events.emit(claim, "Warning", "ProvisioningFailed", _failed(claim, text))
    if wanted.storage_class.get("volumeBindingMode") == "WaitForFirstConsumer":
        await env.client.update(CLAIMS, with_annotations(claim, {SELECTED_NODE: None}))
        return DONE
    return after(RETRY_SECONDS)


def _failed(claim: Obj, text: str) -> str:
    return f'failed to provision volume with StorageClass "{class_of(claim)}": {text}'


def _label(node: Obj) -> str:
    return labels_of(node).get(_HOSTNAME) or name_of(node)


def _hostname_of(volume: Obj) -> str:
    term = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]
    return str(term["matchExpressions"][0]["values"][0])


def _node_of(volume: Obj, cache: Cache) -> Obj | None:
    hostname = _hostname_of(volume)
    return next((node for node in cache.list("nodes") if _label(node) == hostname), None)


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
