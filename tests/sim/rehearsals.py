"""What the simulations of this directory share: how one is played, and objects to play with."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from sagong.api.types import Obj
from sagong.cmd.control_plane import control_plane
from sagong.sim.checkers import always
from sagong.sim.view import Check
from sagong.sim.world import Simulation, SimulationConfig, run_simulation

SETTLE_SECONDS = 1800.0  # virtual; what has not settled by then never will


def play(
    scenario: Callable[[Simulation], Awaitable[None]],
    seed: int,
    config: SimulationConfig | None = None,
    *checks: Check,
) -> None:
    """Play a scenario under the checks that always hold, and these."""
    config = replace(config or SimulationConfig(), checks=[*always(), *checks])
    run_simulation(scenario, seed=seed, compose=control_plane, config=config)


async def amid_trouble(
    world: Simulation, work: Callable[[], Awaitable[None]], times: int, *kinds: str
) -> None:
    """Do something while components die and come back; everything is up again afterwards."""
    async with asyncio.TaskGroup() as group:
        group.create_task(world.trouble(times, 20.0 * times, kinds))
        group.create_task(work())  # type: ignore[arg-type]


def template(app: str, image: str = "one:1", cpu: str = "", **annotations: str) -> Obj:
    container: Obj = {"name": "main", "image": image}
    if cpu:
        container["resources"] = {"requests": {"cpu": cpu}}
    metadata: Obj = {"labels": {"app": app}}
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": {"containers": [container]}}


def workload(kind: str, name: str, replicas: int, *, cpu: str = "", **spec: object) -> Obj:
    """Of apps/v1, selecting app=<name>."""
    selector = {"matchLabels": {"app": name}}
    common = {"replicas": replicas, "selector": selector, "template": template(name, cpu=cpu)}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": common | spec,
    }


def object_of(api_version: str, kind: str, name: str, **fields: object) -> Obj:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def images(pods: Iterable[Obj]) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in pods}


def is_rolled(world: Simulation, resource: str, name: str, replicas: int, image: str) -> bool:
    """All replicas are of this image and available, nothing else is left."""
    found = world.view.get(resource, "default", name)
    if found is None:
        return False
    status = found.get("status") or {}
    pods = [p for p in world.view.list("pods") if p["metadata"]["labels"].get("app") == name]
    return (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("availableReplicas") == replicas
        and status.get("updatedReplicas", replicas) == replicas
        and len(pods) == replicas
        and images(pods) == {image}
    )
