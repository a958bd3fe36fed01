"""Endpoints follow what is ready, however slowly the news travels."""

import pytest

from sagong.sim.checkers import is_pod_ready
from sagong.sim.faults import BAD_DAY
from sagong.sim.lives import Profile
from sagong.sim.world import Simulation, SimulationConfig

from .rehearsals import SETTLE_SECONDS, amid_trouble, is_rolled, object_of, play, workload

SLICES = "endpointslices.discovery.k8s.io"


def ready_addresses(world: Simulation) -> set[str]:
    return {
        address
        for slice_ in world.view.list(SLICES, "default")
        if slice_["metadata"].get("labels", {}).get("kubernetes.io/service-name") == "web"
        for endpoint in slice_.get("endpoints") or ()
        if endpoint["conditions"].get("ready")
        for address in endpoint["addresses"]
    }


def ready_pods(world: Simulation) -> set[str]:
    pods = [p for p in world.view.list("pods") if is_pod_ready(p)]
    return {p["status"]["podIP"] for p in pods if not p["metadata"].get("deletionTimestamp")}


@pytest.mark.parametrize("seed", range(6))
def test_endpoints_follow_readiness(seed: int) -> None:
    async def scenario(world: Simulation) -> None:
        service = object_of("v1", "Service", "web")
        service["spec"] = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
        await world.apply("services", service)
        await world.apply("deployments.apps", workload("Deployment", "web", 5))

        async def work() -> None:
            for replicas in (5, 2, 7):
                await world.change("deployments.apps", "web", {"spec": {"replicas": replicas}})
                await world.wait(
                    lambda: len(ready_pods(world)) >= 2 and ready_addresses(world) != set(),
                    SETTLE_SECONDS,
                )

        await amid_trouble(world, work, 2)
        # Pods crash now and then for ever: calm, then compare.
        await world.wait(
            lambda: (
                is_rolled(world, "deployments.apps", "web", 7, "one:1")
                and ready_addresses(world) == ready_pods(world)
            ),
            SETTLE_SECONDS,
        )

    profile = Profile(crashes=0.2, pull_fails=0.2)
    rates = BAD_DAY if seed % 2 else SimulationConfig().faults
    play(scenario, seed, SimulationConfig(profile=profile, faults=rates))
