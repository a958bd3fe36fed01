"""The ReplicaSet of a Deployment's present template, and the numbering of revisions. Pure."""

from collections.abc import Sequence

from sagong.api.meta import annotations_of, name_of, namespace_of, owner_reference
from sagong.api.types import Obj
from sagong.controllers.apps.deployment_facts import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    REVISION,
    REVISION_HISTORY,
    ROLLBACK_IF_STUCK,
    ROLLBACK_TO,
    WENT_BACK_TO,
    by_age,
    fenceposts,
    new_set_replicas,
    replicas_of,
    revision_of,
)
from sagong.controllers.pods.template import POD_TEMPLATE_HASH, labelled, same_but_hash
from sagong.ctl.ownership import template_hash

HISTORY_CHARS_MAX = 2000  # of the revision-history annotation; the oldest are dropped past it
NAME_CHARS_MAX = 253
# Annotations that a Deployment and its sets do not share.
NOT_COPIED = frozenset({
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    ROLLBACK_TO,
    ROLLBACK_IF_STUCK,
    WENT_BACK_TO,
})  # fmt: skip


def find_newest(deployment: Obj, sets: Sequence[Obj]) -> Obj | None:
    """The oldest set whose template is the Deployment's, apart from the hash."""
    template = deployment["spec"]["template"]
    return next(
        (rs for rs in by_age(sets) if same_but_hash(rs["spec"]["template"], template)), None
    )


def next_revision(old: Sequence[Obj]) -> int:
    return max(map(revision_of, old), default=0) + 1


def new_set(deployment: Obj, old: Sequence[Obj]) -> Obj:
    """The ReplicaSet to create for the present template, already of the size it may have."""
    spec = deployment["spec"]
    hashed = template_hash(spec["template"], (deployment.get("status") or {}).get("collisionCount"))
    template = labelled(spec["template"], {POD_TEMPLATE_HASH: hashed})
    selector = spec["selector"]
    labels = {**(selector.get("matchLabels") or {}), POD_TEMPLATE_HASH: hashed}
    rs: Obj = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name_of(deployment)[: NAME_CHARS_MAX - len(hashed) - 1]}-{hashed}",
            "namespace": namespace_of(deployment),
            "labels": template["metadata"]["labels"],
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": 0,
            "selector": selector | {"matchLabels": labels},
            "template": template,
        },
    }
    if spec.get("minReadySeconds"):
        rs["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    rs["spec"]["replicas"] = new_set_replicas(deployment, [*old, rs], rs)
    annotations = new_set_annotations(deployment, rs, next_revision(old))
    rs["metadata"]["annotations"] = annotations | replicas_annotations(deployment)
    return rs


def replicas_annotations(deployment: Obj) -> dict[str, str]:
    """What a set remembers of the Deployment's size, for proportional scaling later on."""
    replicas = replicas_of(deployment)
    most = replicas + fenceposts(deployment).surge
    return {DESIRED_REPLICAS: str(replicas), MAX_REPLICAS: str(most)}


def new_set_annotations(deployment: Obj, rs: Obj, revision: int) -> dict[str, str]:
    """The set's annotations with the Deployment's copied and the revision raised."""
    copied = {k: v for k, v in annotations_of(deployment).items() if k not in NOT_COPIED}
    found = {**annotations_of(rs), **copied}
    old_text = found.get(REVISION)
    if old_text and not old_text.isdecimal():
        return found  # Somebody wrote what is no revision: leave it.
    if int(old_text or 0) < revision:
        found[REVISION] = str(revision)
        if old_text is not None:
            found[REVISION_HISTORY] = _history(found.get(REVISION_HISTORY, ""), old_text)
    return found


def _history(present: str, revision: str) -> str:
    revisions = present.split(",") if present else []
    while revisions and len(",".join([*revisions, revision])) > HISTORY_CHARS_MAX:
        revisions.pop(0)
    return ",".join([*revisions, revision])


def updated_newest(deployment: Obj, newest: Obj, old: Sequence[Obj]) -> Obj:
    """The existing set of the present template with revision and minReadySeconds put right."""
    annotations = new_set_annotations(deployment, newest, next_revision(old))
    wanted = deployment["spec"].get("minReadySeconds") or 0
    spec = newest["spec"]
    if annotations == annotations_of(newest) and (spec.get("minReadySeconds") or 0) == wanted:
        return newest
    if (spec.get("minReadySeconds") or 0) != wanted:
        spec = spec | {"minReadySeconds": wanted}
    return newest | {"metadata": newest["metadata"] | {"annotations": annotations}, "spec": spec}
