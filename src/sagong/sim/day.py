"""A day of a cluster, from a seed: nodes die, return and are drained, people change their minds.

Deployments, stateful sets, a daemon set, budgets, a quota and cron jobs live through it. ``checks``
hold at every change of the store; in the evening all must be as it was asked for last.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from sagong.api import errors
from sagong.api.meta import condition, is_deleting, name_of
from sagong.api.types import Obj
from sagong.core.tasks import task_group
from sagong.server.upkeep import Compaction
from sagong.sim.checkers import OneOfEachIdentity, SizesHold, dangling, is_ended
from sagong.sim.lives import EXIT_CODE, RUNS_SECONDS
from sagong.sim.view import Check
from sagong.sim.world import Simulation

DEPLOYMENTS, STATEFUL, DAEMONS = "deployments.apps", "statefulsets.apps", "daemonsets.apps"
BUDGETS, CRON, JOBS = "poddisruptionbudgets.policy", "cronjobs.batch", "jobs.batch"
QUOTA_NAMESPACE, QUOTA_PODS = "tight", 20
COMPACTION_SECONDS = 300.0  # as servers do
SETTLE_SECONDS = 7200.0  # virtual; what has not settled by then never will
SLACK_SECONDS = 30.0  # how long a set that was made smaller may have its surplus
DRAIN_ROUNDS, DRAIN_SECONDS = 60, 5.0


@dataclass(frozen=True, slots=True)
class DayConfig:
    """How much there is, and how much happens."""

    hours: float = 24.0
    pause_seconds: float = 2000.0  # on average, between two things that happen
    apps: int = 1  # Deployments, each with a budget
    databases: int = 1  # StatefulSets
    replicas: int = 6  # of a Deployment in the morning; later between half and twice as many
    lost_at_once: int = 1  # nodes, at most

    @classmethod
    def for_nodes(cls, nodes: int, hours: float = 24.0) -> "DayConfig":
        """What a cluster of that size is likely to see."""
        return cls(
            hours=hours,
            pause_seconds=max(300.0, 2000.0 - 2 * nodes),
            apps=max(1, nodes // 50),
            databases=max(1, nodes // 200),
            replicas=6 if nodes < 100 else 20,
            lost_at_once=max(1, nodes // 50),
        )


@dataclass
class Day:
    """What there is to do, and what was done."""

    world: Simulation
    config: DayConfig
    say: Callable[[str], object] = lambda line: None
    down: set[str] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)
    replicas: dict[str, int] = field(default_factory=dict)  # of Deployments, as last asked for
    members: dict[str, int] = field(default_factory=dict)  # of StatefulSets
    version: int = 1

    def checks(self) -> Sequence[Check]:
        """What must hold all day long, beside what always must."""
        now = self.world.clock.monotonic
        return [OneOfEachIdentity(self.world.fleet), SizesHold(now, SLACK_SECONDS)]

    async def run(self) -> None:
        """From the morning to the evening. Raises AssertionError for what is not as it must be."""
        self.world.view.checks += self.checks()
        await self._begin()
        await self.world.wait(self.is_in_order, SETTLE_SECONDS)
        async with task_group() as tasks:
            tasks.start(self._compact(), name="compaction")
            await self._pass()
            await revive_nodes(self)
            await self.world.wait(self.is_in_order, SETTLE_SECONDS)
            self._check_evening()
            await self.world.wait(lambda: not dangling(self.world.view), SETTLE_SECONDS)
        self.tell("evening: everything that was asked for is there, and nothing else")

    def tell(self, what: str) -> None:
        minutes, seconds = divmod(int(self.world.clock.monotonic()), 60)
        self.say(f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02} {what}")

    def up(self) -> list[str]:
        return sorted(set(self.world.fleet.nodes) - self.down)

    def is_in_order(self) -> bool:
        """Everything that was asked for is there, and nothing else."""
        agents = self.world.status(DAEMONS, "agent")
        return (
            agents.get("numberAvailable") == len(self.world.fleet.nodes)
            and all(self._has(DEPLOYMENTS, name, size) for name, size in self.replicas.items())
            and all(self._has(STATEFUL, name, size) for name, size in self.members.items())
            and all(
                self.world.status(BUDGETS, name).get("currentHealthy") == size
                for name, size in self.replicas.items()
            )
        )

    def _has(self, resource: str, name: str, size: int) -> bool:
        status = self.world.status(resource, name)
        counts = ("replicas", "updatedReplicas", "availableReplicas")
        return all((status.get(count) or 0) == size for count in counts)

    async def _begin(self) -> None:
        apply, config = self.world.apply, self.config
        for number in range(config.apps):
            name = f"web-{number}"
            self.replicas[name] = config.replicas
            await apply(DEPLOYMENTS, _workload("Deployment", name, config.replicas))
            budget = {"selector": {"matchLabels": {"app": name}}, "maxUnavailable": 2}
            await apply(BUDGETS, _object("policy/v1", "PodDisruptionBudget", name, spec=budget))
        for number in range(config.databases):
            name = f"db-{number}"
            self.members[name] = 3
            await apply(STATEFUL, _workload("StatefulSet", name, 3, serviceName=name))
        daemons = _workload("DaemonSet", "agent", 0)
        del daemons["spec"]["replicas"]
        await apply(DAEMONS, daemons)
        await apply("namespaces", _namespace(QUOTA_NAMESPACE))
        quota = _object("v1", "ResourceQuota", "most", spec={"hard": {"pods": str(QUOTA_PODS)}})
        quota["metadata"]["namespace"] = QUOTA_NAMESPACE
        await apply("resourcequotas", quota)
        await apply(CRON, _cron("tick", "*/20 * * * *", "0"))
        await apply(CRON, _cron("fails", "5 */2 * * *", "1"))

    async def _pass(self) -> None:
        end = self.world.clock.monotonic() + self.config.hours * 3600
        while True:
            pause = self.world.random.uniform(0, 2 * self.config.pause_seconds)
            left = end - self.world.clock.monotonic()
            await asyncio.sleep(max(0.0, min(pause, left)))
            if pause >= left:
                return
            deed = self.world.random.choice(DEEDS)
            self.done[deed.__name__] += 1
            await deed(self)
            self.world.check()

    async def _compact(self) -> None:
        compaction = Compaction(self.world.store)
        while True:
            await asyncio.sleep(COMPACTION_SECONDS)
            await compaction.step()

    def _check_evening(self) -> None:
        """The history limits hold, and jobs came out as they must."""
        jobs = self.world.view.list(JOBS, "default")
        ticks = [name_of(j) for j in jobs if name_of(j).startswith("tick-")]
        fails = [j for j in jobs if name_of(j).startswith("fails-")]
        # Three that succeeded, one that failed, one that runs; and a failure of nodes is one too.
        assert len(ticks) <= 5, ticks
        assert len(fails) <= 3, [name_of(j) for j in fails]
        for job in fails:
            assert condition(job, "Complete") is None, f"{name_of(job)} is complete"


# What happens


async def lose_nodes(day: Day) -> None:
    """Half of the time their containers run on, and nobody hears of them."""
    up = day.up()
    count = day.world.random.randint(1, day.config.lost_at_once)
    if len(up) - count < len(day.world.fleet.nodes) // 2:
        return
    names = day.world.random.sample(up, count)
    fleet = day.world.fleet
    how = day.world.random.choice((fleet.kill, fleet.silence))
    day.down.update(names)
    for name in names:
        how(name)
    day.tell(f"{how.__name__}: {', '.join(names)}")


async def revive_nodes(day: Day) -> None:
    names = sorted(day.down)
    for name in names:
        day.world.fleet.revive(name)
    day.down.clear()
    if names:
        day.tell(f"revive: {', '.join(names)}")


async def drain(day: Day) -> None:
    """As kubectl does it: cordon, evict, ask again while a budget says no; then uncordon."""
    name = day.world.random.choice(day.up())
    await day.world.change("nodes", name, {"spec": {"unschedulable": True}}, None)
    evicted: Counter[str] = Counter()
    for _ in range(DRAIN_ROUNDS):
        left = [p for p in day.world.view.list("pods") if _is_drained(p, name)]
        if not left:
            break
        for pod in left:
            metadata = {"name": name_of(pod), "namespace": pod["metadata"]["namespace"]}
            with contextlib.suppress(errors.ApiError):
                await day.world.client.create(
                    "pods", {"metadata": metadata}, name=name_of(pod), subresource="eviction"
                )
                evicted[name_of(pod)] += 1
        await asyncio.sleep(DRAIN_SECONDS)
    await day.world.change("nodes", name, {"spec": {"unschedulable": None}}, None)
    day.tell(f"drain: {name}, {len(evicted)} pods evicted")


def _is_drained(pod: Obj, node: str) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    daemon = any(owner["kind"] == "DaemonSet" for owner in owners)
    here = pod["spec"].get("nodeName") == node
    return here and not daemon and not is_deleting(pod) and not is_ended(pod)


async def roll_out(day: Day) -> None:
    day.version += 1
    image = f"image:{day.version}"
    resource = day.world.random.choice((DEPLOYMENTS, STATEFUL))
    names = day.replicas if resource == DEPLOYMENTS else day.members
    name = day.world.random.choice(list(names))
    await day.world.change(resource, name, {"spec": {"template": _template(name, image)}})
    day.tell(f"roll out: {name} {image}")


async def scale_web(day: Day) -> None:
    most = 2 * day.config.replicas
    name = day.world.random.choice(list(day.replicas))
    day.replicas[name] = size = day.world.random.randint(day.config.replicas // 2, most)
    await day.world.change(DEPLOYMENTS, name, {"spec": {"replicas": size}})
    day.tell(f"scale: {name} to {size}")


async def scale_db(day: Day) -> None:
    name = day.world.random.choice(list(day.members))
    day.members[name] = size = day.world.random.randint(1, 4)
    await day.world.change(STATEFUL, name, {"spec": {"replicas": size}})
    day.tell(f"scale: {name} to {size}")


async def ask_for_too_much(day: Day) -> None:
    """More than the quota allows; somebody notices."""
    greedy = _workload("Deployment", "greedy", 2 * QUOTA_PODS)
    greedy["metadata"]["namespace"] = QUOTA_NAMESPACE
    await day.world.apply(DEPLOYMENTS, greedy)
    await asyncio.sleep(600)
    await day.world.delete(DEPLOYMENTS, "greedy", QUOTA_NAMESPACE)
    day.tell(f"too much: {2 * QUOTA_PODS} pods asked for, {QUOTA_PODS} allowed")


async def trouble(day: Day) -> None:
    """Server or controllers die, hang, or are cut off."""
    await day.world.trouble(1, 60)
    day.tell("trouble: of server, controllers or network; all is up again")


DEEDS: tuple[Callable[[Day], Awaitable[None]], ...] = (
    lose_nodes,
    revive_nodes,
    drain,
    roll_out,
    scale_web,
    scale_db,
    ask_for_too_much,
    trouble,
)


# Objects


def _object(api_version: str, kind: str, name: str, **fields: object) -> Obj:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def _namespace(name: str) -> Obj:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _template(app: str, image: str = "one:1", **annotations: str) -> Obj:
    requests = {"requests": {"cpu": "100m"}}
    metadata: Obj = {"labels": {"app": app}, "annotations": annotations}
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "main", "image": image, "resources": requests}]},
    }


def _workload(kind: str, name: str, replicas: int, **spec: object) -> Obj:
    selector = {"matchLabels": {"app": name}}
    common = {"replicas": replicas, "selector": selector, "template": _template(name)}
    return _object("apps/v1", kind, name, spec=common | spec)


def _cron(name: str, schedule: str, exit_code: str) -> Obj:
    pods = _template("work", **{RUNS_SECONDS: "20", EXIT_CODE: exit_code})
    pods["spec"]["restartPolicy"] = "Never"
    job = {"spec": {"template": pods, "completions": 2, "parallelism": 2, "backoffLimit": 1}}
    spec = {"schedule": schedule, "jobTemplate": job, "concurrencyPolicy": "Forbid"}
    return _object("batch/v1", "CronJob", name, spec=spec)
