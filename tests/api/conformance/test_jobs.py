"""Jobs as conformance tries them: over HTTPS, with all controllers and pretended nodes."""

from typing import Any

import pytest
from spaces import Space, condition, pod_spec, wait_deleted

pytestmark = pytest.mark.asyncio(loop_scope="module")
JOB = "batch/v1 jobs/try"
LABEL = "batch.kubernetes.io/job-completion-index"


async def create(space: Space, **spec: Any) -> Any:
    template = {"metadata": {"labels": {"job": "try"}}, "spec": pod_spec(restartPolicy="Never")}
    return await space.create("batch/v1 jobs", "try", spec={"template": template} | spec)


def indexed(**spec: Any) -> dict[str, Any]:
    return {"completionMode": "Indexed", "completions": 4, "parallelism": 4} | spec


def index_of(pod: Any) -> int:
    return int(pod["metadata"]["annotations"][LABEL])


def fails_if_odd(pod: Any) -> int:
    return index_of(pod) % 2


async def ended(space: Space, type_: str, reason: str) -> Any:
    """The Job once it has ended so, with what precedes the end."""
    job = await space.wait(JOB, lambda job: condition(job, type_) is not None)
    before = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[type_]
    assert condition(job, type_)["reason"] == condition(job, before)["reason"] == reason
    assert not job["status"].get("active")
    return job


async def running(space: Space, count: int) -> list[Any]:
    """The Job's pods, once so many are ready."""
    await space.wait(JOB, lambda job: job["status"].get("ready") == count)
    return [p for p in (await space.get("pods"))["items"] if p["status"]["phase"] == "Running"]


async def test_a_pod_failure_policy_fails_the_job_at_once(live: Space) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    await create(live, backoffLimit=3, completions=2, parallelism=1,
                 podFailurePolicy={"rules": [rule]})  # fmt: skip
    async with live.ending(lambda pod: 42):
        job = await ended(live, "Failed", "PodFailurePolicy")
    assert job["status"]["failed"] == 1
    pod = (await live.get("pods"))["items"][0]["metadata"]["name"]
    text = f"Container c for pod {live.name}/{pod} failed with exit code 42"
    assert condition(job, "Failed")["message"] == text + " matching FailJob rule at index 0"


async def test_evictions_that_a_policy_ignores_do_not_fail_the_job(live: Space) -> None:
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    await create(live, backoffLimit=0, podFailurePolicy={"rules": [rule]},
                 **indexed(completions=2, parallelism=2))  # fmt: skip
    first = await running(live, 2)
    async with live.watching("pods") as events:
        for pod in first:
            name = pod["metadata"]["name"]
            await live.ask("POST", f"pods/{name}/eviction", {"metadata": {"name": name}})
        evicted = {p["metadata"]["uid"] for p in first}
        async with live.ending(lambda p: None if p["metadata"]["uid"] in evicted else 0):
            job = await ended(live, "Complete", "CompletionsReached")
    assert job["status"]["succeeded"] == 2
    assert not job["status"].get("failed")
    last = {e["object"]["metadata"]["uid"]: e["object"] for e in events}
    for uid in evicted:
        assert condition(last[uid], "DisruptionTarget")["reason"] == "EvictionByEvictionAPI"
        assert last[uid]["status"]["phase"] == "Failed"


async def test_every_index_runs_though_some_fail(live: Space) -> None:
    await create(live, backoffLimitPerIndex=1, **indexed())
    async with live.ending(fails_if_odd):
        # Two failures of an index lie a back-off apart, which begins at ten seconds.
        job = await ended(live, "Failed", "FailedIndexes")
    status = job["status"]
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,2", "1,3")
    assert (status["succeeded"], status["failed"]) == (2, 4)
    assert condition(job, "Failed")["message"] == "Job has failed indexes"


async def test_a_policy_fails_single_indexes(live: Space) -> None:
    rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [1]}}
    await create(live, backoffLimitPerIndex=1, podFailurePolicy={"rules": [rule]}, **indexed())
    async with live.ending(fails_if_odd):
        job = await ended(live, "Failed", "FailedIndexes")
    status = job["status"]
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,2", "1,3")
    assert (status["succeeded"], status["failed"]) == (2, 2)


async def test_too_many_failed_indexes_end_the_job(live: Space) -> None:
    await create(live, backoffLimitPerIndex=0, maxFailedIndexes=1, **indexed())
    async with live.ending(lambda pod: 1 if index_of(pod) in (1, 3) else None):
        job = await ended(live, "Failed", "MaxFailedIndexesExceeded")
    status = job["status"]
    # Those that were still at work are ended, and count as failed.
    assert status["failedIndexes"] == "0-3"
    assert not status.get("completedIndexes")
    assert status["failed"] == 4
    assert status["terminating"] == 0


@pytest.mark.parametrize(
    ("rule", "ends", "completed"),
    [
        (None, (0, 1), "0,1"),
        ({"succeededIndexes": "0"}, (0,), "0"),
        ({"succeededCount": 1}, (1,), "1"),
        ({"succeededIndexes": "0-1", "succeededCount": 1}, (1,), "1"),
    ],
)
async def test_success_policies(
    live: Space, rule: Any, ends: tuple[int, ...], completed: str
) -> None:
    rule = rule or {"succeededIndexes": "0-1"}
    await create(live, successPolicy={"rules": [rule]}, **indexed(completions=2, parallelism=2))
    async with live.ending(lambda pod: 0 if index_of(pod) in ends else None):
        job = await ended(live, "Complete", "SuccessPolicy")
    assert condition(job, "SuccessCriteriaMet")["message"] == "Matched rules at index 0"
    assert job["status"]["completedIndexes"] == completed
    assert job["status"]["succeeded"] == len(ends)
    assert job["status"]["terminating"] == job["status"]["ready"] == 0


async def test_an_indexed_job_tells_its_pods_their_index(live: Space) -> None:
    await create(live, **indexed())
    pods = await running(live, 4)
    assert sorted(map(index_of, pods)) == [0, 1, 2, 3]
    for pod in pods:
        name = f"try-{index_of(pod)}"
        assert pod["metadata"]["name"].startswith(name + "-")
        assert pod["spec"]["hostname"] == name
        assert pod["metadata"]["labels"][LABEL] == str(index_of(pod))
        assert pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "try"
        variable = next(
            v for v in pod["spec"]["containers"][0]["env"] if v["name"] == "JOB_COMPLETION_INDEX"
        )
        assert variable["valueFrom"]["fieldRef"]["fieldPath"] == f"metadata.labels['{LABEL}']"
    async with live.ending(lambda pod: 0):
        job = await ended(live, "Complete", "CompletionsReached")
    assert job["status"]["completedIndexes"] == "0-3"
    assert job["status"]["completionTime"]


async def test_a_deleted_job_takes_its_pods_along(live: Space) -> None:
    await create(live, completions=4, parallelism=2)
    assert len(await running(live, 2)) == 2
    await live.delete(JOB, "Foreground")
    await live.wait(JOB, lambda job: job is None)
    assert await live.names("pods") == []


async def test_pods_are_adopted_and_released(live: Space) -> None:
    job = await create(live, completions=4, parallelism=2)
    first = (await running(live, 2))[0]["metadata"]
    path = f"pods/{first['name']}"
    await live.patch(path, {"metadata": {"ownerReferences": None}})
    pod = await live.wait(path, lambda pod: bool(pod["metadata"].get("ownerReferences")))
    owner = pod["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"], owner["controller"]) == (
        "Job",
        job["metadata"]["uid"],
        True,
    )
    await live.patch(path, {"metadata": {"labels": None}})
    pod = await live.wait(path, lambda pod: not pod["metadata"].get("ownerReferences"))
    assert "batch.kubernetes.io/job-tracking" not in (pod["metadata"].get("finalizers") or ())
    # Another takes its place.
    assert first["name"] in await live.names("pods")
    listing = "pods?labelSelector=job=try"
    await live.wait(listing, lambda found: len(found["items"]) == 2)


async def test_the_life_of_a_job(live: Space) -> None:
    async with live.watching("batch/v1 jobs?labelSelector=e2e-job-label=try") as events:
        labels = {"labels": {"e2e-job-label": "try"}}
        spec = {"template": {"spec": pod_spec(restartPolicy="Never")}, "suspend": True,
                "completions": 4, "parallelism": 2}  # fmt: skip
        await live.create("batch/v1 jobs", "try", metadata=labels, spec=spec)
        await live.patch(JOB, {"metadata": {"labels": {"try": "patched"}}})
        job = await live.get(JOB)
        assert job["metadata"]["labels"]["try"] == "patched"
        job["metadata"]["annotations"] = {"updated": "true"}
        job["spec"]["suspend"] = False
        await live.ask("PUT", f"{JOB}", await refreshed(live, job))
        await running(live, 2)
        found = await live.ask("GET", "/apis/batch/v1/jobs?labelSelector=try=patched")
        assert [j["metadata"]["annotations"]["updated"] for j in found["items"]] == ["true"]
        query = "batch/v1 jobs?labelSelector=try=patched&propagationPolicy=Background"
        await live.ask("DELETE", query)
        await live.wait(JOB, lambda job: job is None)
        await live.wait("pods", lambda found: not found["items"])
        await wait_deleted(events)
    told = [e["type"] for e in events]
    assert (told[0], told[-1]) == ("ADDED", "DELETED")
    suspended = [condition(e["object"], "Suspended") for e in events]
    assert any(c and c["reason"] == "JobSuspended" for c in suspended)


async def refreshed(space: Space, job: Any) -> Any:
    """With the version that the controller's last status gave it."""
    found = await space.wait(JOB, lambda job: condition(job, "Suspended") is not None)
    job["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
    job["status"] = found["status"]
    return job
