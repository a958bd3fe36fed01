"""A day of a cluster, from a seed: nodes die, return and are drained, people change their minds.

Every change of the store passes the checks that always hold; in the evening all is as it should be.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from sagong.api import errors
from sagong.api.meta import condition, is_deleting, name_of
from sagong.api.types import Obj
from sagong.server.upkeep import Compaction
from sagong.sim.checkers import OneOfEachIdentity, SizesHold, dangling, is_ended
from sagong.sim.lives import EXIT_CODE, RUNS_SECONDS
from sagong.sim.world import Simulation, SimulationConfig

from .rehearsals import SETTLE_SECONDS, object_of, play, template, workload

DEPLOYMENTS, STATEFUL = "deployments.apps", "statefulsets.apps"
BUDGETS, CRON, JOBS = "poddisruptionbudgets.policy", "cronjobs.batch", "jobs.batch"
NODES = 4
HOURS = 24.0
# Between two things that happen, on average: some forty a day.
PAUSE_SECONDS = 2000.0


@dataclass
class Day:
    """What there is to do, and what was done."""

    world: Simulation
    down: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    replicas: int = 6
    members: int = 3
    version: int = 1

    async def begin(self) -> None:
        apply = self.world.apply
        await apply(DEPLOYMENTS, workload("Deployment", "web", self.replicas, cpu="100m"))
        selector = {"matchLabels": {"app": "web"}}
        budget = {"selector": selector, "maxUnavailable": 2}
        await apply(BUDGETS, object_of("policy/v1", "PodDisruptionBudget", "web", spec=budget))
        await apply(STATEFUL, workload("StatefulSet", "db", self.members, serviceName="db"))
        daemons = workload("DaemonSet", "agent", 0)
        del daemons["spec"]["replicas"]
        await apply("daemonsets.apps", daemons)
        hard = {"spec": {"hard": {"pods": "40"}}}
        await apply("resourcequotas", object_of("v1", "ResourceQuota", "most", **hard))
        await apply(CRON, cron("tick", "*/20 * * * *", "0"))
        await apply(CRON, cron("fails", "5 */2 * * *", "1"))

    async def pass_(self) -> None:
        """Until the evening."""
        end = self.world.clock.monotonic() + HOURS * 3600
        compaction = Compaction(self.world.store)  # as servers do, more often
        while self.world.clock.monotonic() < end:
            await asyncio.sleep(self.world.random.uniform(0, 2 * PAUSE_SECONDS))
            await compaction.step()
            deed = self.world.random.choice(DEEDS)
            self.done.append(deed.__name__)
            await deed(self)
            self.world.check()

    def up(self) -> list[str]:
        return sorted(set(self.world.fleet.nodes) - self.down)


async def lose_node(day: Day) -> None:
    """Half of the time its containers run on, and nobody hears of them."""
    if len(day.up()) <= NODES // 2:
        return
    name = day.world.random.choice(day.up())
    day.down.add(name)
    fleet = day.world.fleet
    day.world.random.choice((fleet.kill, fleet.silence))(name)


async def revive_nodes(day: Day) -> None:
    for name in sorted(day.down):
        day.world.fleet.revive(name)
    day.down.clear()


async def drain(day: Day) -> None:
    """As kubectl does it: cordon, evict, ask again while a budget says no; then uncordon."""
    name = day.world.random.choice(day.up())
    await day.world.change("nodes", name, {"spec": {"unschedulable": True}}, None)
    for _ in range(60):
        left = [p for p in day.world.view.list("pods", "default") if _is_drained(p, name)]
        if not left:
            break
        for pod in left:
            eviction = {"metadata": {"name": name_of(pod), "namespace": "default"}}
            with contextlib.suppress(errors.ApiError):
                await day.world.client.create(
                    "pods", eviction, name=name_of(pod), subresource="eviction"
                )
        await asyncio.sleep(5)
    await day.world.change("nodes", name, {"spec": {"unschedulable": None}}, None)


def _is_drained(pod: Obj, node: str) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    daemon = any(owner["kind"] == "DaemonSet" for owner in owners)
    here = pod["spec"].get("nodeName") == node
    return here and not daemon and not is_deleting(pod) and not is_ended(pod)


async def roll_out(day: Day) -> None:
    day.version += 1
    image = f"image:{day.version}"
    resource, name = day.world.random.choice(((DEPLOYMENTS, "web"), (STATEFUL, "db")))
    await day.world.change(resource, name, {"spec": {"template": template(name, image)}})


async def scale_web(day: Day) -> None:
    day.replicas = day.world.random.randint(3, 12)
    await day.world.change(DEPLOYMENTS, "web", {"spec": {"replicas": day.replicas}})


async def scale_db(day: Day) -> None:
    day.members = day.world.random.randint(1, 4)
    await day.world.change(STATEFUL, "db", {"spec": {"replicas": day.members}})


async def ask_for_too_much(day: Day) -> None:
    """More than the quota allows; somebody notices."""
    await day.world.apply(DEPLOYMENTS, workload("Deployment", "greedy", 50))
    await asyncio.sleep(600)
    await day.world.delete(DEPLOYMENTS, "greedy")


async def trouble(day: Day) -> None:
    await day.world.trouble(1, 60)


DEEDS: tuple[Callable[[Day], Awaitable[None]], ...] = (
    lose_node,
    revive_nodes,
    drain,
    roll_out,
    scale_web,
    scale_db,
    ask_for_too_much,
    trouble,
)


def cron(name: str, schedule: str, exit_code: str) -> Obj:
    pods = template("work", **{RUNS_SECONDS: "20", EXIT_CODE: exit_code})
    pods["spec"]["restartPolicy"] = "Never"
    job = {"spec": {"template": pods, "completions": 2, "parallelism": 2, "backoffLimit": 1}}
    spec = {"schedule": schedule, "jobTemplate": job, "concurrencyPolicy": "Forbid"}
    return object_of("batch/v1", "CronJob", name, spec=spec)


def is_in_order(day: Day) -> bool:
    """Everything that was asked for is there, and nothing else."""
    web, db = day.world.status(DEPLOYMENTS, "web"), day.world.status(STATEFUL, "db")
    agents = day.world.status("daemonsets.apps", "agent")
    budget = day.world.status(BUDGETS, "web")
    return (
        web.get("availableReplicas") == web.get("updatedReplicas") == day.replicas
        and web.get("replicas") == day.replicas
        and db.get("availableReplicas") == db.get("updatedReplicas") == day.members
        and db.get("replicas") == day.members
        and agents.get("numberAvailable") == NODES
        and budget.get("currentHealthy") == day.replicas
    )


# A virtual day is about half a minute of work.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [2026])
def test_a_day(seed: int) -> None:
    async def scenario(world: Simulation) -> None:
        world.view.checks += [
            OneOfEachIdentity(world.fleet),
            SizesHold(world.clock.monotonic, slack_seconds=30),
        ]
        day = Day(world)
        await day.begin()
        await world.wait(lambda: is_in_order(day))
        await day.pass_()
        await revive_nodes(day)
        await world.wait(lambda: is_in_order(day), SETTLE_SECONDS)
        assert len(set(day.done)) >= 6, day.done
        _check_evening(day)
        await world.wait(lambda: not dangling(world.view), SETTLE_SECONDS)

    play(scenario, seed, SimulationConfig(nodes=NODES, limit_seconds=(HOURS + 2) * 3600))


def _check_evening(day: Day) -> None:
    """The history limits hold, and jobs came out as they must."""
    jobs = day.world.view.list(JOBS, "default")
    ticks = [j for j in jobs if name_of(j).startswith("tick-")]
    fails = [j for j in jobs if name_of(j).startswith("fails-")]
    assert 1 <= len(ticks) <= 5, [name_of(j) for j in ticks]
    assert 1 <= len(fails) <= 3
    for job in fails:
        assert condition(job, "Complete") is None
