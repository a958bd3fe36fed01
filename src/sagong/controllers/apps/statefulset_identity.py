"""The identity of a StatefulSet's pods: name, labels, claims. Pure.

Semantics: upstream's ``pkg/controller/statefulset/stateful_set_utils.go``.
"""

import re
from collections.abc import Mapping

from sagong.api.meta import annotations_of, is_deleting, labels_of, name_of, namespace_of, uid_of
from sagong.api.pods import phase_of
from sagong.api.types import Obj
from sagong.controllers.pods.state import is_available
from sagong.controllers.pods.template import CONTROLLER_REVISION_HASH, pod_from_template

RESOURCE = "statefulsets.apps"
POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"(.*)-([0-9]+)$")


def replicas_of(set_: Obj) -> int:
    replicas = set_["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def start_of(set_: Obj) -> int:
    """The first ordinal."""
    return int((set_["spec"].get("ordinals") or {}).get("start") or 0)


def ordinal_of(set_: Obj, pod: Obj) -> int | None:
    """The pod's ordinal; None if it is not named after the set."""
    match = _NAME.fullmatch(name_of(pod))
    if match is None or match[1] != name_of(set_):
        return None
    return int(match[2])


def in_range(set_: Obj, ordinal: int) -> bool:
    return start_of(set_) <= ordinal < start_of(set_) + replicas_of(set_)


def is_available_member(set_: Obj, pod: Obj, now: float) -> bool:
    """Running, ready for minReadySeconds, and not being deleted."""
    seconds = set_["spec"].get("minReadySeconds") or 0
    return phase_of(pod) == "Running" and is_available(pod, seconds, now) and not is_deleting(pod)


def revision_of(pod: Obj) -> str:
    return labels_of(pod).get(CONTROLLER_REVISION_HASH, "")


def claim_name(set_: Obj, template: Obj, ordinal: int) -> str:
    return f"{name_of(template)}-{name_of(set_)}-{ordinal}"


def claims_of(set_: Obj, ordinal: int) -> dict[str, Obj]:
    """The claims of an ordinal, by the name of their template."""
    selected = (set_["spec"].get("selector") or {}).get("matchLabels") or {}
    found = {}
    for template in set_["spec"].get("volumeClaimTemplates") or ():
        meta = template["metadata"]
        metadata: Obj = {
            "name": claim_name(set_, template, ordinal),
            "namespace": namespace_of(set_),
            "labels": {**(meta.get("labels") or {}), **selected},
        }
        if meta.get("annotations"):
            metadata["annotations"] = annotations_of(template)
        found[name_of(template)] = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata,
            "spec": template["spec"],
        }
    return found


def with_storage(set_: Obj, pod: Obj, ordinal: int) -> Obj:
    """The pod with the volumes of its claims, in place of the template's of those names."""
    claims = claims_of(set_, ordinal)
    if not claims:
        return pod
    volumes: list[Obj] = [
        {"name": name, "persistentVolumeClaim": {"claimName": name_of(claim)}}
        for name, claim in claims.items()
    ]
    others = pod["spec"].get("volumes") or ()
    volumes += [volume for volume in others if volume["name"] not in claims]
    return pod | {"spec": pod["spec"] | {"volumes": volumes}}


def with_identity(set_: Obj, pod: Obj, ordinal: int) -> Obj:
    name = f"{name_of(set_)}-{ordinal}"
    metadata = {k: v for k, v in pod["metadata"].items() if k != "generateName"}
    labels = {**labels_of(pod), POD_NAME: name, POD_INDEX: str(ordinal)}
    metadata |= {"name": name, "namespace": namespace_of(set_), "labels": labels}
    return pod | {"metadata": metadata}


def identity_matches(set_: Obj, pod: Obj, ordinal: int) -> bool:
    labels = labels_of(pod)
    return labels.get(POD_NAME) == name_of(pod) and labels.get(POD_INDEX) == str(ordinal)


def storage_matches(set_: Obj, pod: Obj, ordinal: int) -> bool:
    present: Mapping[str, Obj] = {v["name"]: v for v in pod["spec"].get("volumes") or ()}
    for name, claim in claims_of(set_, ordinal).items():
        source = (present.get(name) or {}).get("persistentVolumeClaim") or {}
        if source.get("claimName") != name_of(claim):
            return False
    return True


def new_pod(set_: Obj, template: Obj, revision: str, ordinal: int) -> Obj:
    """A pod of one ordinal, of a revision's template."""
    pod = with_identity(set_, pod_from_template(template, set_), ordinal)
    pod["metadata"]["labels"][CONTROLLER_REVISION_HASH] = revision
    spec = pod["spec"] | {"hostname": name_of(pod)}
    if set_["spec"].get("serviceName"):
        spec["subdomain"] = set_["spec"]["serviceName"]
    return with_storage(set_, pod | {"spec": spec}, ordinal)


def retained_claim(set_: Obj, claim: Obj, ordinal: int, pod: Obj | None) -> Obj:
    """The claim with the owners that the retention policy asks for; itself if it has them.

    ``pod`` is the living pod of the ordinal, which owns the claim while it is scaled away.
    """
    policy = set_["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    condemned = not in_range(set_, ordinal)
    scaled = policy.get("whenScaled") == "Delete"
    owner: Obj | None = None
    if scaled and condemned:
        owner = pod
    elif policy.get("whenDeleted") == "Delete":
        owner = set_
    refs = claim["metadata"].get("ownerReferences") or []
    names = {("StatefulSet", name_of(set_)), ("Pod", f"{name_of(set_)}-{ordinal}")}
    others = [ref for ref in refs if (ref["kind"], ref["name"]) not in names]
    if owner is not None and any(ref.get("controller") for ref in others):
        return claim  # Somebody else's claim: leave it alone.
    wanted = list(others)
    if owner is not None:
        wanted.append(_reference(owner))
    if [(r["kind"], r["uid"]) for r in refs] == [(r["kind"], r["uid"]) for r in wanted]:
        return claim
    metadata = {k: v for k, v in claim["metadata"].items() if k != "ownerReferences"}
    if wanted:
        metadata["ownerReferences"] = wanted
    return claim | {"metadata": metadata}


def _reference(owner: Obj) -> Obj:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
    }


def is_stale(claim: Obj, pod_name: str) -> bool:
    """Whether the claim still belongs to an earlier pod of this name, with which it will go."""
    refs = claim["metadata"].get("ownerReferences") or ()
    return any(ref["kind"] == "Pod" and ref["name"] == pod_name for ref in refs)
