"""Jobs: exact counting over any crash, limits, policies."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagong.api.meta import deep_copy, name_of, uid_of
from sagong.api.types import Obj
from sagong.controllers.batch.job_facts import COMPLETION_INDEX, TRACKING, is_tracked
from sagong.controllers.batch.job_indexes import format_indexes, parse_indexes
from sagong.controllers.batch.job_plan import finished, plan
from sagong.controllers.batch.job_policy import match_failure
from sagong.controllers.batch.job_tracking import settled

from .objects import NOW, meta, pod, template


def job(**spec: Any) -> Obj:
    wanted = {
        "parallelism": 2,
        "completions": 5,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "template": template(),
        "podReplacementPolicy": "TerminatingOrFailed",
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta("j"),
        "spec": wanted | spec,
        "status": {"startTime": "2025-12-31T23:59:00Z"},
    }


def member(name: str, phase: str = "Running", index: int | None = None, **more: Any) -> Obj:
    annotations = {} if index is None else {COMPLETION_INDEX: str(index)}
    found = pod(name, phase=phase, finalizers=[TRACKING], annotations=annotations, **more)
    found["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "lastTransitionTime": "2025-12-31T20:00:00Z"}
    ]
    return found


@pytest.mark.parametrize(
    ("indexes", "text"),
    [(set(), ""), ({3}, "3"), ({1, 2}, "1,2"), ({0, 1, 2, 5, 7, 8, 9}, "0-2,5,7-9")],
)
def test_indexes_as_text(indexes: set[int], text: str) -> None:
    assert format_indexes(indexes) == text
    assert parse_indexes(text, 10) == indexes


def test_only_what_is_missing_is_created() -> None:
    decided = plan(job(), [member("a"), member("b", "Succeeded")], now=NOW)
    assert len(decided.pods.create) == 1
    assert decided.pods.create[0]["metadata"]["finalizers"] == [TRACKING]
    assert decided.status["uncountedTerminatedPods"] == {"succeeded": ["uid-b"]}
    assert [name_of(p) for p in decided.release] == ["b"]


def test_a_work_queue_stops_growing_at_the_first_success() -> None:
    work = job(completions=None, parallelism=3)
    assert len(plan(work, [], now=NOW).pods.create) == 3
    pods = [member("a"), member("b", "Succeeded")]
    assert not plan(work, pods, now=NOW).pods.create
    decided = plan(work, [member("b", "Succeeded")], now=NOW)
    assert decided.status["conditions"][0]["reason"] == "CompletionsReached"


@pytest.mark.parametrize(("failures", "wait"), [(1, 10), (2, 20), (3, 40), (5, 160)])
def test_failures_slow_creation_down(failures: int, wait: int) -> None:
    pods = [member(f"f{n}", "Failed") for n in range(failures)]
    for failed in pods:
        failed["status"]["containerStatuses"] = [
            {"name": "main", "state": {"terminated": {"finishedAt": "2026-01-01T00:00:00Z"}}}
        ]
    decided = plan(job(), pods, now=NOW)
    assert not decided.pods.create
    assert decided.look_again == wait
    assert plan(job(), pods, now=NOW + wait).pods.create


def test_limits_end_the_job() -> None:
    pods = [member("a"), *(member(f"f{n}", "Failed") for n in range(2))]
    decided = plan(job(backoffLimit=1), pods, now=NOW)
    assert [name_of(p) for p in decided.pods.delete] == ["a"]
    assert decided.status["conditions"][0]["reason"] == "BackoffLimitExceeded"
    decided = plan(job(activeDeadlineSeconds=60), [], now=NOW)
    assert decided.status["conditions"][0]["reason"] == "DeadlineExceeded"
    assert decided.verdict is not None
    ended = finished(job(), decided.status, decided.verdict, now=NOW)
    assert ended is not None
    assert [c["type"] for c in ended["conditions"]] == ["FailureTarget", "Failed"]


def test_indexes_run_once_each_and_duplicates_go() -> None:
    work = job(completionMode="Indexed", completions=4, parallelism=4)
    pods = [member("a", index=0), member("b", index=0), member("c", "Succeeded", index=2)]
    decided = plan(work, pods, now=NOW)
    assert len(decided.pods.delete) == 1
    decided = plan(work, [pods[0], pods[2]], now=NOW)
    made = decided.pods.create
    assert [p["metadata"]["generateName"] for p in made] == ["j-1-", "j-3-"]
    assert made[0]["spec"]["hostname"] == "j-1"
    assert decided.status["completedIndexes"] == "2"
    assert decided.status["uncountedTerminatedPods"] == {}


def test_each_index_has_its_own_limit() -> None:
    spec = {"completionMode": "Indexed", "completions": 2, "backoffLimitPerIndex": 1}
    work = job(**spec, backoffLimit=2**31 - 1)
    failed = member("a", "Failed", index=0)
    decided = plan(work, [failed, member("b", "Succeeded", index=1)], now=NOW)
    replacement = decided.pods.create[0]["metadata"]["annotations"]
    assert replacement["batch.kubernetes.io/job-index-failure-count"] == "1"
    assert "a" not in {name_of(p) for p in decided.release}, "kept until it is replaced"
    failed["metadata"]["annotations"] |= {"batch.kubernetes.io/job-index-failure-count": "1"}
    decided = plan(work, [failed, member("b", "Succeeded", index=1)], now=NOW)
    assert decided.status["failedIndexes"] == "0"
    assert decided.status["conditions"][0]["reason"] == "FailedIndexes"


def test_policies() -> None:
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
    ]
    work = job(podFailurePolicy={"rules": rules})
    failed = member("a", "Failed")
    failed["status"]["containerStatuses"] = [
        {"name": "main", "state": {"terminated": {"exitCode": 42}}}
    ]
    decided = plan(work, [failed], now=NOW)
    assert decided.status["conditions"][0]["message"] == (
        "Container main for pod default/a failed with exit code 42 matching FailJob rule at index 1"
    )
    failed["status"]["conditions"].append({"type": "DisruptionTarget", "status": "True"})
    assert not match_failure(work, failed).counts
    success = {"rules": [{"succeededIndexes": "0-1", "succeededCount": 1}]}
    work = job(completionMode="Indexed", successPolicy=success)
    decided = plan(work, [member("a", "Succeeded", index=1), member("b", index=3)], now=NOW)
    assert decided.status["conditions"][0]["reason"] == "SuccessPolicy"
    assert [name_of(p) for p in decided.pods.delete] == ["b"]


@given(
    phases=st.lists(st.sampled_from(["Succeeded", "Failed"]), max_size=8),
    crashes=st.lists(st.integers(0, 3), min_size=1, max_size=12),
)
def test_every_pod_counts_once_whatever_crashes(phases: list[str], crashes: list[int]) -> None:
    """A crash before or after each write; pods whose finalizer is gone may vanish."""
    work = job(completions=100, parallelism=0, backoffLimit=100)
    pods = [member(f"p{n}", phase) for n, phase in enumerate(phases)]
    for crash in [*crashes, 3, 3]:
        decided = plan(deep_copy(work), pods, now=NOW)
        if crash == 0:
            continue
        work = work | {"status": decided.status}
        released = {uid_of(p) for p in decided.release}
        if crash == 1:
            released = set(sorted(released)[:1])
        pods = [p for p in pods if uid_of(p) not in released]
        if crash == 3:
            tracked = {uid_of(p) for p in pods if is_tracked(p)}
            work = work | {"status": settled(work["status"], tracked, indexed=False)}
    status = work["status"]
    assert status.get("succeeded", 0) == phases.count("Succeeded")
    assert status.get("failed", 0) == phases.count("Failed")
    assert status["uncountedTerminatedPods"] == {}
