"""Going back to an earlier revision: when a client asks for it, or a rollout is stuck. Pure.

Semantics of the former: upstream's ``pkg/controller/deployment/rollback.go``, with the annotation
that stands for the field of extensions/v1beta1. The latter is our own and has to be asked for, see
docs/rollouts.md.
"""

from dataclasses import dataclass

from sagong.api.meta import annotations_of, name_of
from sagong.api.types import Obj
from sagong.controllers.apps.deployment_facts import (
    ROLLBACK_IF_STUCK,
    ROLLBACK_TO,
    WENT_BACK_TO,
    progressing,
    revision_of,
)
from sagong.controllers.apps.deployment_revision import NOT_COPIED
from sagong.controllers.apps.deployment_rollout import Rollout
from sagong.controllers.pods.template import POD_TEMPLATE_HASH, same_but_hash
from sagong.ctl.ownership import template_hash

Event = tuple[str, str, str]  # type, reason, message


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The Deployment as it is to be written, all but its status, and what to say of it."""

    deployment: Obj
    event: Event


def plan_rollback(rollout: Rollout) -> Rewrite | None:
    """None if nobody wants to go back."""
    deployment = rollout.deployment
    wanted = _wanted_revision(deployment)
    if wanted is not None:
        return _cleared(_rolled_back(rollout, wanted))
    if not _is_stuck(deployment):
        return None
    if last_revision(rollout) == 0:
        return None  # The first rollout of all: there is nothing to go back to.
    rewrite = _rolled_back(rollout, 0)
    if rewrite.event[1] != "DeploymentRollback":
        return None
    hashed = template_hash(rewrite.deployment["spec"]["template"])
    return Rewrite(_annotated(rewrite.deployment, {WENT_BACK_TO: hashed}), rewrite.event)


def _wanted_revision(deployment: Obj) -> int | None:
    text = annotations_of(deployment).get(ROLLBACK_TO)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        return None


def _is_stuck(deployment: Obj) -> bool:
    annotations = annotations_of(deployment)
    reason = (progressing(deployment) or {}).get("reason")
    if annotations.get(ROLLBACK_IF_STUCK) != "true" or reason != "ProgressDeadlineExceeded":
        return False
    seen = (deployment.get("status") or {}).get("observedGeneration") or 0
    if seen < deployment["metadata"].get("generation", 0):
        return False  # It is another rollout by now.
    went_back = annotations.get(WENT_BACK_TO)
    return went_back != template_hash(deployment["spec"]["template"])


def last_revision(rollout: Rollout) -> int:
    """The second highest; 0 if there is none."""
    numbers = sorted({revision_of(rs) for rs in rollout.sets}, reverse=True)
    return numbers[1] if len(numbers) > 1 else 0


def _rolled_back(rollout: Rollout, revision: int) -> Rewrite:
    deployment = rollout.deployment
    revision = revision or last_revision(rollout)
    if revision == 0:
        return Rewrite(deployment, _not_found("Unable to find last revision."))
    rs = next((rs for rs in rollout.sets if revision_of(rs) == revision), None)
    if rs is None:
        text = "Unable to find the revision to rollback to."
        return Rewrite(deployment, _not_found(text))
    name = name_of(deployment)
    if same_but_hash(deployment["spec"]["template"], rs["spec"]["template"]):
        text = f'The rollback revision contains the same template as current deployment "{name}"'
        return Rewrite(deployment, ("Warning", "DeploymentRollbackTemplateUnchanged", text))
    text = f'Rolled back deployment "{name}" to revision {revision}'
    return Rewrite(_with_template_of(deployment, rs), ("Normal", "DeploymentRollback", text))


def _not_found(text: str) -> Event:
    return "Warning", "DeploymentRollbackRevisionNotFound", text


def _with_template_of(deployment: Obj, rs: Obj) -> Obj:
    template = rs["spec"]["template"]
    metadata = template.get("metadata") or {}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != POD_TEMPLATE_HASH}
    template = template | {"metadata": metadata | {"labels": labels}}
    present, theirs = annotations_of(deployment), annotations_of(rs)
    annotations = {k: v for k, v in present.items() if k in NOT_COPIED}
    annotations |= {k: v for k, v in theirs.items() if k not in NOT_COPIED}
    return deployment | {
        "metadata": deployment["metadata"] | {"annotations": annotations},
        "spec": deployment["spec"] | {"template": template},
    }


def _cleared(rewrite: Rewrite) -> Rewrite:
    deployment = rewrite.deployment
    left = {k: v for k, v in annotations_of(deployment).items() if k != ROLLBACK_TO}
    metadata = deployment["metadata"] | {"annotations": left}
    return Rewrite(deployment | {"metadata": metadata}, rewrite.event)


def _annotated(deployment: Obj, annotations: dict[str, str]) -> Obj:
    merged = {**annotations_of(deployment), **annotations}
    return deployment | {"metadata": deployment["metadata"] | {"annotations": merged}}
