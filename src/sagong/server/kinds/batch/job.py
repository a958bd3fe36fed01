"""Jobs. Their selector and the labels that match it are made from the uid unless manual."""

from collections.abc import Mapping

from sagong.api.pod_defaults import default_pod_template
from sagong.api.types import Obj
from sagong.server.kinds.batch.job_status import validate_job_status_update
from sagong.server.kinds.batch.job_validation import validate_job, validate_job_update
from sagong.server.kinds.core.pod_warnings import replicated_warnings
from sagong.server.kinds.strategy import Strategy

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
LEGACY_CONTROLLER_UID = "controller-uid"
LEGACY_JOB_NAME = "job-name"
_INT32_MAX = 2**31 - 1


def default(job: Obj) -> None:
    spec = job.setdefault("spec", {})
    default_pod_template(spec.setdefault("template", {}))
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    defaults = {
        "parallelism": 1,
        "backoffLimit": 6 if spec.get("backoffLimitPerIndex") is None else _INT32_MAX,
        "completionMode": "NonIndexed",
        "suspend": False,
        "manualSelector": False,
        "podReplacementPolicy": (
            "TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed"
        ),
    }
    for name, value in defaults.items():
        if spec.get(name) is None:
            spec[name] = value
    labels = spec["template"]["metadata"].get("labels")
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = dict(labels)
    default_failure_policy(spec)
    job.setdefault("status", {})


def default_failure_policy(spec: Obj) -> None:
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"


def prepare_for_create(job: Obj) -> None:
    """Make selector and labels from the uid, which the registry has set by now."""
    job["status"] = {}
    spec = job["spec"]
    if not spec.get("manualSelector"):
        _generate_selector(job)
    labels = spec["template"]["metadata"].get("labels")
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = dict(labels)


def _generate_selector(job: Obj) -> None:
    """Labels a client set are kept (validation compares them); a selector too, to be refused."""
    metadata, spec = job["metadata"], job["spec"]
    uid, name = metadata.get("uid", ""), metadata.get("name", "")
    labels = dict(spec["template"]["metadata"].get("labels") or {})
    for key, value in (
        (LEGACY_JOB_NAME, name),
        (JOB_NAME, name),
        (LEGACY_CONTROLLER_UID, uid),
        (CONTROLLER_UID, uid),
    ):
        labels.setdefault(key, value)
    spec["template"]["metadata"]["labels"] = labels
    selector = spec.get("selector") or {}
    spec["selector"] = selector
    selector["matchLabels"] = {**(selector.get("matchLabels") or {})}
    selector["matchLabels"].setdefault(CONTROLLER_UID, uid)


def prepare_for_status_update(new: Obj, old: Obj) -> None:
    new["spec"] = old["spec"]


def selectable_fields(job: Obj) -> Mapping[str, str]:
    return {"status.successful": str((job.get("status") or {}).get("succeeded", 0))}


STRATEGY = Strategy(
    warnings=replicated_warnings,
    validate=validate_job,
    validate_update=validate_job_update,
    validate_status_update=validate_job_status_update,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_status_update=prepare_for_status_update,
    selectable_fields=selectable_fields,
    selectable_field_names=("status.successful",),
    has_generation=True,
    default_propagation="orphan",
)
