"""Cron jobs. The job template gets no job defaults: those come when a job is made from it."""

from sagong.api.types import Obj
from sagong.server.kinds.batch.job import default_failure_policy
from sagong.server.kinds.core.pod_spec import default_pod_template
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    job_template = spec.setdefault("jobTemplate", {})
    job_template.setdefault("metadata", {})
    job_spec = job_template.setdefault("spec", {})
    default_pod_template(job_spec.setdefault("template", {}))
    default_failure_policy(job_spec)
    if not spec.get("concurrencyPolicy"):
        spec["concurrencyPolicy"] = "Allow"
    for name, value in (
        ("suspend", False),
        ("successfulJobsHistoryLimit", 3),
        ("failedJobsHistoryLimit", 1),
    ):
        if spec.get(name) is None:
            spec[name] = value
    obj.setdefault("status", {})


STRATEGY = Strategy(default=default, has_generation=True)
