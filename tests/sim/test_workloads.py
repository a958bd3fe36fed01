"""Workloads from end to end: real server, controllers and scheduler, pretended nodes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from sagong.api.meta import condition, labels_of, name_of, owner_references_of
from sagong.api.pods import is_finished
from sagong.api.types import Obj
from sagong.sim import lives
from sagong.sim.loop import run_virtual
from sagong.sim.world import Simulation

from .rehearsals import play
from .world import EXIT_CODE, RUNS_SECONDS, World, available, images, template, workload, world

SEEDS = range(3)


def run(test: Callable[[World], Awaitable[None]], *, seed: int = 0, nodes: int = 3) -> None:
    async def main() -> None:
        async with world(nodes=nodes, seed=seed) as seen:
            await test(seen)
            assert not seen.broken, seen.broken[0]

    run_virtual(main(), seed, limit_seconds=7200)


def deployment(replicas: int = 4, **spec: object) -> Obj:
    selector = {"matchLabels": {"app": "web"}}
    return workload(
        "apps/v1",
        "Deployment",
        "web",
        replicas=replicas,
        selector=selector,
        template=template("web"),
        **spec,
    )


def is_rolled(seen: World, replicas: int) -> bool:
    found = seen.get("deployments.apps", "web")
    status = found.get("status") or {}
    counts = ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")
    return status.get("observedGeneration") == found["metadata"]["generation"] and all(
        status.get(c) == replicas for c in counts
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_deployment_rolls_within_its_limits(seed: int) -> None:
    async def test(seen: World) -> None:
        await seen.create("deployments.apps", deployment())
        await seen.wait(lambda: is_rolled(seen, 4))
        hashed = labels_of(seen.pods()[0])["pod-template-hash"]
        told = [f"Scaled up replica set web-{hashed} from 0 to 4"]
        await seen.wait(lambda: seen.events("ScalingReplicaSet") == told)
        progressing = condition(seen.get("deployments.apps", "web"), "Progressing")
        assert progressing is not None
        assert progressing["reason"] == "NewReplicaSetAvailable"

        def within(pods: Sequence[Obj]) -> None:
            sets = seen.cache.list("replicasets.apps")
            # Sizes, not pods: one set's new pod may come before another's old pod goes.
            wanted = sum(rs["spec"]["replicas"] for rs in sets)
            assert wanted <= 5, "more pods than maxSurge allows"
            assert available(pods) >= 3, "fewer available than maxUnavailable allows"

        seen.checks.append(within)
        patch = {"spec": {"template": template("web", "two:2")}}
        await seen.change("deployments.apps", "web", patch)
        await seen.wait(lambda: is_rolled(seen, 4) and images(seen.pods()) == {"two:2"})
        found = seen.get("deployments.apps", "web")
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        status = seen.status
        await seen.wait(lambda: status("deployments.apps", "web")["terminatingReplicas"] == 0)

    run(test, seed=seed)


def test_recreate_never_mixes_templates() -> None:
    async def test(seen: World) -> None:
        def unmixed(pods: Sequence[Obj]) -> None:
            running = [pod for pod in pods if not is_finished(pod)]
            assert len(images(running)) <= 1, "old and new pods at once"

        seen.checks.append(unmixed)
        await seen.create("deployments.apps", deployment(strategy={"type": "Recreate"}))
        await seen.wait(lambda: is_rolled(seen, 4))
        patch = {"spec": {"template": template("web", "two:2")}}
        await seen.change("deployments.apps", "web", patch)
        await seen.wait(lambda: is_rolled(seen, 4) and images(seen.pods()) == {"two:2"})

    run(test)


def test_a_stuck_rollout_is_told_and_rolled_back() -> None:
    async def test(seen: World) -> None:
        await seen.create("deployments.apps", deployment(progressDeadlineSeconds=30))
        await seen.wait(lambda: is_rolled(seen, 4))
        unschedulable = template("web", "two:2")
        unschedulable["spec"]["nodeSelector"] = {"no": "where"}
        await seen.change("deployments.apps", "web", {"spec": {"template": unschedulable}})

        def reason() -> str:
            found = condition(seen.get("deployments.apps", "web"), "Progressing")
            return str((found or {}).get("reason"))

        await seen.wait(lambda: reason() == "ProgressDeadlineExceeded")
        patch = {"spec": {"template": template("web") | {"spec": {"nodeSelector": None}}}}
        patch["spec"]["template"]["spec"]["containers"] = [{"name": "main", "image": "one:1"}]
        await seen.change("deployments.apps", "web", patch)
        await seen.wait(lambda: is_rolled(seen, 4) and reason() == "NewReplicaSetAvailable")
        found = seen.get("deployments.apps", "web")
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
        assert len(list(seen.cache.list("replicasets.apps"))) == 2

    run(test)


def test_a_replica_set_adopts_releases_and_replaces() -> None:
    async def test(seen: World) -> None:
        orphan = {"apiVersion": "v1", "kind": "Pod"} | template("rs")
        orphan["metadata"] |= {"name": "orphan", "namespace": "default"}
        await seen.create("pods", orphan)
        selector = {"matchLabels": {"app": "rs"}}
        rs = workload(
            "apps/v1", "ReplicaSet", "rs", replicas=2, selector=selector, template=template("rs")
        )
        await seen.create("replicasets.apps", rs)
        await seen.wait(lambda: seen.status("replicasets.apps", "rs").get("readyReplicas") == 2)
        assert len(seen.pods()) == 2
        assert owner_references_of(seen.get("pods", "orphan"))[0]["name"] == "rs"
        await seen.change("pods", "orphan", {"metadata": {"labels": {"app": "free"}}})
        await seen.wait(lambda: len(seen.pods()) == 3)
        await seen.wait(lambda: not owner_references_of(seen.get("pods", "orphan")))
        await seen.change("replicasets.apps", "rs", {"spec": {"replicas": 0}})
        await seen.wait(lambda: [name_of(pod) for pod in seen.pods()] == ["orphan"])

    run(test)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stateful_set_starts_updates_and_shrinks_in_order(seed: int) -> None:
    async def test(seen: World) -> None:
        selector = {"matchLabels": {"app": "db"}}
        spec = {"replicas": 3, "selector": selector, "serviceName": "db"}
        set_ = workload("apps/v1", "StatefulSet", "db", template=template("db"), **spec)
        order: list[str] = []

        def in_order(pods: Sequence[Obj]) -> None:
            for pod in pods:
                if name_of(pod) not in order:
                    assert available(pods) == len(order), "started before the one before was ready"
                    order.append(name_of(pod))

        seen.checks.append(in_order)
        await seen.create("statefulsets.apps", set_)
        resource = "statefulsets.apps"
        await seen.wait(lambda: seen.status(resource, "db").get("availableReplicas") == 3)
        assert order == ["db-0", "db-1", "db-2"]
        assert labels_of(seen.get("pods", "db-1"))["apps.kubernetes.io/pod-index"] == "1"

        def one_at_a_time(pods: Sequence[Obj]) -> None:
            assert available(pods) >= 2, "more than one pod away"

        seen.checks.append(one_at_a_time)
        patch = {"spec": {"template": template("db", "two:2")}}
        await seen.change(resource, "db", patch)
        await seen.wait(
            lambda: (
                images(seen.pods()) == {"two:2"}
                and seen.status(resource, "db").get("availableReplicas") == 3
                and seen.status(resource, "db").get("currentReplicas") == 3
            )
        )
        status = seen.status(resource, "db")
        assert status["currentRevision"] == status["updateRevision"]
        seen.checks.clear()
        await seen.change(resource, "db", {"spec": {"replicas": 1}})
        await seen.wait(lambda: [name_of(p) for p in seen.pods()] == ["db-0"])

    run(test, seed=seed)


def test_a_daemon_set_runs_on_every_node_and_updates() -> None:
    async def test(seen: World) -> None:
        selector = {"matchLabels": {"app": "agent"}}
        ds = workload(
            "apps/v1", "DaemonSet", "agent", selector=selector, template=template("agent")
        )
        resource = "daemonsets.apps"
        await seen.create(resource, ds)
        await seen.wait(lambda: seen.status(resource, "agent").get("numberAvailable") == 3)
        assert {pod["spec"]["nodeName"] for pod in seen.pods()} == {"node-0", "node-1", "node-2"}
        patch = {"spec": {"template": template("agent", "two:2")}}
        await seen.change(resource, "agent", patch)
        await seen.wait(
            lambda: (
                images(seen.pods()) == {"two:2"}
                and seen.status(resource, "agent").get("numberAvailable") == 3
                and seen.status(resource, "agent").get("updatedNumberScheduled") == 3
            )
        )
        taint = {"key": "gone", "effect": "NoExecute"}
        await seen.client.patch("nodes", "node-1", {"spec": {"taints": [taint]}})
        await seen.wait(lambda: len(seen.pods()) == 2)
        await seen.wait(lambda: seen.status(resource, "agent").get("desiredNumberScheduled") == 2)

    run(test)


def job(name: str = "work", exit_code: int = 0, **spec: object) -> Obj:
    annotations = {RUNS_SECONDS: "5", EXIT_CODE: str(exit_code)}
    pods = {"metadata": {"annotations": annotations}, "spec": template("x")["spec"]}
    pods["spec"]["restartPolicy"] = "Never"
    return workload("batch/v1", "Job", name, template=pods, **spec)


def conditions(seen: World, name: str = "work") -> list[str]:
    found = seen.status("jobs.batch", name).get("conditions") or []
    return [c["type"] for c in found if c["status"] == "True"]


@pytest.mark.parametrize("mode", ["NonIndexed", "Indexed"])
def test_a_job_runs_to_completion(mode: str) -> None:
    async def test(seen: World) -> None:
        await seen.create("jobs.batch", job(completions=5, parallelism=2, completionMode=mode))
        await seen.wait(lambda: "Complete" in conditions(seen))
        status = seen.status("jobs.batch", "work")
        assert conditions(seen) == ["SuccessCriteriaMet", "Complete"]
        assert status["succeeded"] == 5
        assert status["uncountedTerminatedPods"] == {}
        assert status.get("completedIndexes") == ("0-4" if mode == "Indexed" else None)
        assert len(seen.pods()) == 5
        assert not any(pod["metadata"].get("finalizers") for pod in seen.pods())
        await seen.wait(lambda: seen.events("Completed") == ["Job completed"])

    run(test)


def test_a_job_restarts_its_containers_in_place() -> None:
    """With OnFailure a failed container runs again in its pod, and the pod may still succeed."""

    def scenario_job() -> Obj:
        made = template("x", **{lives.RUNS_SECONDS: "3", lives.EXIT_CODE: "1,0"})
        made["spec"]["restartPolicy"] = "OnFailure"
        spec = {"completions": 4, "parallelism": 2, "template": made}
        return workload("batch/v1", "Job", "work", **spec)

    async def scenario(seen: Simulation) -> None:
        await seen.apply("jobs.batch", scenario_job())
        await seen.wait(lambda: "completionTime" in seen.status("jobs.batch", "work"))
        status = seen.status("jobs.batch", "work")
        assert status["succeeded"] == 4
        assert not status.get("failed")
        pods = seen.view.list("pods", "default")
        assert len(pods) == 4
        assert {p["status"]["containerStatuses"][0]["restartCount"] for p in pods} == {1}
        assert {p["status"]["phase"] for p in pods} == {"Succeeded"}

    play(scenario, 0)


def test_a_job_gives_up_after_its_limit_and_goes_after_its_time() -> None:
    async def test(seen: World) -> None:
        await seen.create(
            "jobs.batch", job(exit_code=1, backoffLimit=2, ttlSecondsAfterFinished=60)
        )
        await seen.wait(lambda: "Failed" in conditions(seen))
        status = seen.status("jobs.batch", "work")
        assert conditions(seen) == ["FailureTarget", "Failed"]
        assert status["failed"] == 3
        assert status["conditions"][-1]["reason"] == "BackoffLimitExceeded"
        # 3 pods of 7 seconds each, waits of 10 and 20 seconds.
        assert 45 <= seen.clock.monotonic() <= 75
        await seen.wait(lambda: not list(seen.cache.list("jobs.batch")))
        await seen.wait(lambda: not seen.pods())

    run(test)


def test_a_suspended_job_counts_nothing() -> None:
    async def test(seen: World) -> None:
        await seen.create("jobs.batch", job(completions=2, parallelism=2))
        await seen.wait(lambda: available(seen.pods()) == 2)
        await seen.change("jobs.batch", "work", {"spec": {"suspend": True}})
        await seen.wait(lambda: not seen.pods())
        assert conditions(seen) == ["Suspended"]
        assert not seen.status("jobs.batch", "work").get("failed")
        await seen.change("jobs.batch", "work", {"spec": {"suspend": False}})
        await seen.wait(lambda: "Complete" in conditions(seen))
        assert seen.status("jobs.batch", "work")["succeeded"] == 2

    run(test)


def test_a_cron_job_starts_its_jobs_and_keeps_few() -> None:
    async def test(seen: World) -> None:
        cron = workload(
            "batch/v1",
            "CronJob",
            "tick",
            schedule="*/1 * * * *",
            successfulJobsHistoryLimit=2,
            jobTemplate={"spec": job()["spec"]},
        )
        await seen.create("cronjobs.batch", cron)
        await seen.wait(lambda: seen.clock.monotonic() > 310, 400)
        jobs = sorted(seen.cache.list("jobs.batch"), key=name_of)
        assert [name_of(found) for found in jobs] == ["tick-29453764", "tick-29453765"]
        status = seen.status("cronjobs.batch", "tick")
        assert status["lastScheduleTime"] == "2026-01-01T00:05:00Z"
        assert status["lastSuccessfulTime"] > "2026-01-01T00:05:00Z"

    run(test)


def test_a_budget_follows_its_deployment() -> None:
    async def test(seen: World) -> None:
        selector = {"matchLabels": {"app": "web"}}
        budget = workload(
            "policy/v1", "PodDisruptionBudget", "web", selector=selector, maxUnavailable="50%"
        )
        resource = "poddisruptionbudgets.policy"
        await seen.create(resource, budget)
        await seen.create("deployments.apps", deployment(5))
        await seen.wait(lambda: seen.status(resource, "web").get("currentHealthy") == 5)
        status = seen.status(resource, "web")
        assert (status["expectedPods"], status["desiredHealthy"]) == (5, 2)
        assert status["disruptionsAllowed"] == 3
        assert status["conditions"][0]["reason"] == "SufficientPods"

    run(test)


def test_a_settled_cluster_writes_nothing() -> None:
    """A status that never equals what is stored would be written for ever."""

    async def test(seen: World) -> None:
        selector = {"matchLabels": {"app": "web"}}
        await seen.create("deployments.apps", deployment())
        for kind, resource, more in (
            ("StatefulSet", "statefulsets.apps", {"serviceName": "s", "replicas": 2}),
            ("DaemonSet", "daemonsets.apps", {}),
        ):
            app = kind.lower()
            selector = {"matchLabels": {"app": app}}
            spec = {"selector": selector, "template": template(app)} | more
            await seen.create(resource, workload("apps/v1", kind, app, **spec))
        await seen.create("jobs.batch", job())
        await seen.create("jobs.batch", job("stuck", exit_code=1, backoffLimit=0))
        await seen.create("jobs.batch", job("later", suspend=True))
        budget = {"selector": selector, "minAvailable": 1}
        await seen.create(
            "poddisruptionbudgets.policy",
            workload("policy/v1", "PodDisruptionBudget", "web", **budget),
        )
        rc = workload(
            "v1",
            "ReplicationController",
            "rc",
            replicas=2,
            selector={"app": "rc"},
            template=template("rc"),
        )
        await seen.create("replicationcontrollers", rc)
        await asyncio.sleep(60)
        before = await revision(seen)
        await asyncio.sleep(120)
        assert await revision(seen) == before
        assert len(seen.pods()) == 4 + 2 + 3 + 2 + 2

    run(test)


async def revision(seen: World) -> str:
    return (await seen.client.list("pods", namespace="default")).resource_version
