"""``python -m tests.cluster.chaos``: rounds of faults, a look after each, and what is left."""

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sagong.api.errors import ApiError, NotFound
from sagong.api.resources import ResourceTable
from sagong.client.client import Client
from sagong.client.https import Https
from sagong.client.kubeconfig import read_context

from . import checks, faults, workload
from .place import NAMESPACE, Place, World
from .place import run as run_command
from .watching import ANSWER_SECONDS_MAX, Watched, watching

ROOT = Path(__file__).parents[3]
QUIET_SECONDS = 3.0  # of traffic after each round, without a failure


@dataclass(slots=True)
class Run:
    """What is remembered from round to round."""

    world: World
    chance: random.Random
    minutes: float
    stateful: dict[str, str] = field(default_factory=dict)  # uid -> name
    memory: list[Mapping[str, float]] = field(default_factory=list)
    inflicted: dict[str, int] = field(default_factory=dict)
    rounds: int = 0


async def main(options: argparse.Namespace) -> int:
    place = Place(options.base or Path(f"/tmp/sgx-{options.seed}"), options.prefix, options.port)
    place.began = asyncio.get_running_loop().time()
    place.shared.mkdir(parents=True, exist_ok=True)
    await place.up()
    try:
        client = Client(Https(read_context(place.kubeconfig).access), ResourceTable())
        try:
            run = Run(World(place, client), random.Random(options.seed), options.minutes)
            await _torment(run, stop=options.stop)
        finally:
            await client.close()
    except (ApiError, RuntimeError) as error:
        place.violated(f"the run ended early: {error}")
    if place.violations and options.stop:
        place.say(f"the cluster is kept below {place.base}")
        return 1
    await _end(place)
    _conclude(run, options.seed)
    return min(len(place.violations), 100)


async def _torment(run: Run, *, stop: bool) -> None:
    place = run.world.place
    await workload.set_up(run.world)
    problem = await checks.settled(run.world, ())
    assert not problem, problem
    async with watching(place) as watched:
        loop = asyncio.get_running_loop()
        while loop.time() - place.began < run.minutes * 60:
            run.rounds += 1
            await _one_round(run, watched)
            if stop and place.violations:
                return
    await run.world.client.delete("namespaces", NAMESPACE)
    await _gone(run.world)
    for text in await checks.unleaked(run.world, gone=True):
        place.violated(f"left after everything was deleted: {text}")


async def _one_round(run: Run, watched: Watched) -> None:
    place = run.world.place
    before = await checks.seen(run.world)
    plan = faults.plan_round(run.chance, place.nodes)
    doing = await workload.act(run.world, run.chance, run.rounds)
    kinds = ", ".join(map(str, plan.faults))
    place.say(f"round {run.rounds}: {kinds} for {plan.seconds:g} s; user: {doing.text}")
    for fault in plan.faults:
        run.inflicted[fault.kind] = run.inflicted.get(fault.kind, 0) + 1
    watched.failures.clear()
    began = asyncio.get_running_loop().time()
    hit = await faults.inflict(place, plan, run.chance)
    jobs = [doing.job] if doing.job else []
    loop = asyncio.get_running_loop()
    healed = loop.time()
    problem = await checks.settled(run.world, jobs)
    if problem:
        place.violated(f"not settled: {problem}")
    seconds = max(0.0, loop.time() - healed - checks.STAYS_SECONDS)
    lost = watched.failed_since(began)
    if plan.spares_traffic and "web" not in doing.apps and lost:
        place.violated(f"{len(lost)} connections failed: {lost[:3]}")
    failed = f"{len(lost)} connections failed meanwhile"
    place.say(f"  settled within {seconds:.0f} s; {failed}")
    await _look(run, before, plan, doing, hit)
    quiet = loop.time()
    await asyncio.sleep(QUIET_SECONDS + ANSWER_SECONDS_MAX)
    if lost := watched.failed_since(quiet):
        place.violated(f"connections fail after all is healed: {lost[:3]}")


async def _look(
    run: Run,
    before: Mapping[str, checks.PodSeen],
    plan: faults.Round,
    doing: workload.Doing,
    hit: set[str],
) -> None:
    place, world = run.world.place, run.world
    after = await checks.seen(world)
    disturbed = plan.disturbed_nodes
    for uid, pod in before.items():
        excused = pod.node in disturbed or uid in hit or uid == doing.pod or pod.app in doing.apps
        if not excused and after.get(uid) != pod:
            place.violated(f"{pod.name} on {pod.node} did not go on: {pod} -> {after.get(uid)}")
    run.stateful |= {uid: pod.name for uid, pod in after.items() if pod.app == "data"}
    await checks.check_starts(world, run.stateful)
    if doing.job:
        undisturbed = not plan.disturbed_nodes and not hit
        await checks.check_job(world, doing.job, undisturbed=undisturbed)
    for text in await checks.unleaked(world):
        place.violated(f"leaked: {text}")
    run.memory.append(_memory(place))


def _memory(place: Place) -> Mapping[str, float]:
    """Megabytes (PSS) of the programs."""
    found = {}
    for program, node in (("server", ""), *(("agent", node) for node in place.nodes)):
        process = place.process(program, node)
        if process is not None:
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            pss = next(line for line in rollup if line.startswith("Pss:"))
            found[f"{program} {node}".strip()] = round(int(pss.split()[1]) / 1024, 1)
    return found


async def _gone(world: World) -> None:
    for _ in range(600):
        try:
            await world.client.get("namespaces", NAMESPACE)
        except NotFound:
            return
        await asyncio.sleep(0.2)
    world.place.violated("the namespace does not go")


async def _end(place: Place) -> None:
    await place.sagong("down", "--purge")
    layout = place.layout
    command = [ROOT / "demo" / "leftovers", layout.data_dir, layout.run_dir]
    code, left = await run_command(*map(str, command))
    if code != 0:
        place.violated(f"left after `sagong down --purge`: {left}")
    if groups := _cgroups(place):
        place.violated(f"cgroups are left: {groups}")
    faults.remove(place)


def _cgroups(place: Place) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"*/kubepods-{place.prefix}-*"))


def _conclude(run: Run, seed: int) -> None:
    place = run.world.place
    told = {
        "seed": seed,
        "rounds": run.rounds,
        "faults": run.inflicted,
        "memory": {"first": run.memory[:1], "last": run.memory[-1:]},
        "violations": place.violations,
    }
    place.say(json.dumps(told, indent=1))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--port", type=int, default=17543)
    parser.add_argument("--prefix", default="chaos", help="what nodes are called before a number")
    parser.add_argument("--base", type=Path, help="a directory of a short name")
    parser.add_argument("--stop", action="store_true", help="keep the cluster at a violation")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(_options(sys.argv[1:]))))
