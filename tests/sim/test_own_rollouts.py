"""What workloads may ask for beyond Kubernetes: docs/rollouts.md, played in virtual time."""

import asyncio

import pytest

from sagong.api.meta import annotations_of, uid_of
from sagong.api.types import Obj
from sagong.sim.lives import PULL_FAILURES
from sagong.sim.world import Simulation

from .rehearsals import SETTLE_SECONDS, is_rolled, object_of, play, template, workload

DEPLOYMENTS = "deployments.apps"


def annotated(obj: Obj, **annotations: str) -> Obj:
    named = {f"sagong.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return obj | {"metadata": obj["metadata"] | {"annotations": named}}


def image_of(world: Simulation) -> str:
    found = world.view.get(DEPLOYMENTS, "default", "web") or {}
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def broken(image: str) -> Obj:
    return {"spec": {"template": template("web", image, **{PULL_FAILURES: "1000000"})}}


def revision_of(world: Simulation) -> str:
    found = world.view.get(DEPLOYMENTS, "default", "web") or {}
    return annotations_of(found)["deployment.kubernetes.io/revision"]


@pytest.mark.parametrize("asked", [True, False])
def test_a_stuck_rollout_is_taken_back(asked: bool) -> None:
    async def scenario(world: Simulation) -> None:
        wish = {"rollback_on_deadline": "true"} if asked else {}
        spec = {"progressDeadlineSeconds": 60}
        await world.apply(DEPLOYMENTS, annotated(workload("Deployment", "web", 3, **spec), **wish))
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 3, "one:1"))
        await world.change(DEPLOYMENTS, "web", broken("two:2"))
        await asyncio.sleep(50)
        assert image_of(world) == "two:2"
        await asyncio.sleep(120)
        if not asked:
            assert image_of(world) == "two:2"
            return
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 3, "one:1"), SETTLE_SECONDS)
        assert revision_of(world) == "3"
        told = [
            e["message"] for e in world.view.list("events") if e["reason"] == "DeploymentRollback"
        ]
        assert told == ['Rolled back deployment "web" to revision 1']
        # The same again: what is applied again is tried again.
        await world.change(DEPLOYMENTS, "web", broken("three:3"))
        await world.wait(lambda: image_of(world) == "three:3")
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 3, "one:1"), SETTLE_SECONDS)

    play(scenario, 0)


def test_it_is_not_sent_to_and_fro() -> None:
    async def scenario(world: Simulation) -> None:
        wished = annotated(
            workload("Deployment", "web", 2, progressDeadlineSeconds=60),
            rollback_on_deadline="true",
        )
        await world.apply(DEPLOYMENTS, wished)
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 2, "one:1"))
        # Now nothing is ever pulled again, not even what worked before.
        await world.change(DEPLOYMENTS, "web", broken("two:2"))
        await world.wait(lambda: image_of(world) == "one:1", SETTLE_SECONDS)
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 2, "one:1"), SETTLE_SECONDS)
        await world.change(DEPLOYMENTS, "web", broken("one:1"))
        await world.wait(lambda: image_of(world) == "one:1", SETTLE_SECONDS)
        await asyncio.sleep(600)
        assert int(revision_of(world)) <= 5

    play(scenario, 1)


def test_the_deprecated_annotation_rolls_back() -> None:
    async def scenario(world: Simulation) -> None:
        await world.apply(DEPLOYMENTS, workload("Deployment", "web", 2))
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 2, "one:1"))
        await world.change(DEPLOYMENTS, "web", {"spec": {"template": template("web", "two:2")}})
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 2, "two:2"))
        for wanted, image, reason in (
            ("0", "one:1", "DeploymentRollback"),
            ("2", "two:2", "DeploymentRollback"),
            ("9", "two:2", "DeploymentRollbackRevisionNotFound"),
            ("4", "two:2", "DeploymentRollbackTemplateUnchanged"),
        ):
            annotation = {"deprecated.deployment.rollback.to": wanted}
            await world.change(DEPLOYMENTS, "web", {"metadata": {"annotations": annotation}})
            await world.wait(lambda: not _rolling_back(world))
            await world.wait(
                lambda image=image: is_rolled(world, DEPLOYMENTS, "web", 2, image)  # type: ignore[misc]
            )
            await world.wait(
                lambda reason=reason: any(  # type: ignore[misc]
                    e["reason"] == reason for e in world.view.list("events")
                )
            )

    play(scenario, 2)


def _rolling_back(world: Simulation) -> bool:
    found = world.view.get(DEPLOYMENTS, "default", "web") or {}
    return "deprecated.deployment.rollback.to" in annotations_of(found)


KINDS = [
    ("Deployment", "deployments.apps"),
    ("StatefulSet", "statefulsets.apps"),
    ("DaemonSet", "daemonsets.apps"),
]


@pytest.mark.parametrize(("kind", "resource"), KINDS)
def test_a_change_of_configuration_is_rolled_out(kind: str, resource: str) -> None:
    async def scenario(world: Simulation) -> None:
        for name in ("used", "other"):
            data = object_of("v1", "ConfigMap", name, data={"a": "1"})
            await world.apply("configmaps", data)
        spec = workload(kind, "web", 2)
        container = spec["spec"]["template"]["spec"]["containers"][0]
        container["envFrom"] = [{"configMapRef": {"name": "used"}}, {"secretRef": {"name": "s"}}]
        if kind == "DaemonSet":
            del spec["spec"]["replicas"]
        await world.apply(resource, annotated(spec, rollout_on_config_change="true"))
        count = len(world.fleet.nodes) if kind == "DaemonSet" else 2

        def settled() -> bool:
            return len(running(world)) == count

        await world.wait(settled)
        first = running(world)
        # Neither the beginning nor what is not used nor what is beside the data rolls anything out.
        await world.change("configmaps", "other", {"data": {"a": "2"}})
        await world.change("configmaps", "used", {"metadata": {"labels": {"x": "y"}}})
        await asyncio.sleep(60)
        assert running(world) == first
        await world.change("configmaps", "used", {"data": {"a": "2"}})
        await world.wait(lambda: settled() and not running(world) & first, SETTLE_SECONDS)
        second = running(world)
        # A secret that comes to be is a change as well.
        await world.apply("secrets", object_of("v1", "Secret", "s", stringData={"k": "v"}))
        await world.wait(lambda: settled() and not running(world) & second, SETTLE_SECONDS)

    play(scenario, 3)


def running(world: Simulation) -> frozenset[str]:
    """uids of the pods that run."""
    pods = world.view.list("pods", "default")
    return frozenset(
        uid_of(p)
        for p in pods
        if (p.get("status") or {}).get("phase") == "Running"
        and not p["metadata"].get("deletionTimestamp")
    )
