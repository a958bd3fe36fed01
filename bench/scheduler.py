"""The scheduler by upstream's scheduler_perf scenarios: decisions alone, and through the API.

    python bench/scheduler.py                                    # all, 500 and 5,000 nodes, alone
    python bench/scheduler.py SchedulingBasic --nodes 1000 --api # pods bound through API and SQLite

*Alone* is what a decision costs without API, store and network: reading the pod's object, the
queue, all filters and scores, taking the pod into account. Both are given per second of CPU time as
well as of wall time: a busy machine spoils the latter.
"""

import argparse
import asyncio
import copy
import cProfile
import pstats
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from bound import bind_through_api
from sagong.core.ids import SeededIds
from sagong.scheduler import columns
from sagong.scheduler.cycle import Decider
from sagong.scheduler.happenings import NodeChanged, PodChanged
from sagong.scheduler.hints import helps
from sagong.scheduler.plugin import Cycle
from sagong.scheduler.pod import Templates
from sagong.scheduler.preemption import Search, find_victims
from sagong.scheduler.profile import profile_of
from sagong.scheduler.queue import SchedulingQueue
from sagong.scheduler.state import State
from scenarios import SCENARIOS, Obj, Scenario, basic, many, node

NODES = (500, 5000)
CHURN_EVERY = 500  # decisions between two changes from outside


class Alone:
    """The scheduler's parts without its shell."""

    def __init__(self, scenario: Scenario, nodes: int) -> None:
        self.scenario = scenario
        self.nodes = nodes
        self.state = State.empty(lambda: {"default": {}})
        self.queue = SchedulingQueue()
        self.templates = Templates()
        self.decider = Decider(SeededIds(1))
        self.profile = profile_of()
        self.uids = iter(range(10**9))
        self.unplaced = 0
        self.victims = 0
        for number in range(nodes):
            self.state.set_node(columns.facts_of(node(number, scenario.zones)))

    def prepare(self) -> None:
        before = self.scenario.before
        if before is None or self.scenario.gated:
            return
        for obj in self.objects(many(before, self.nodes, self.scenario.before_pods * self.nodes)):
            self.schedule(obj)

    def objects(self, made: Iterator[Obj]) -> Iterator[Obj]:
        for obj in made:
            obj["metadata"]["uid"] = f"uid-{next(self.uids)}"
            yield obj

    def measure(self) -> tuple[int, float, float]:
        """Decisions, wall seconds, CPU seconds."""
        pods = many(self.scenario.pod, self.nodes, self.scenario.pods * self.nodes)
        waiting = [copy.deepcopy(obj) for obj in self.objects(pods)]
        self.unplaced = 0
        wall, cpu = time.perf_counter(), time.process_time()
        for count, obj in enumerate(waiting):
            if self.scenario.churns and count % CHURN_EVERY == 0:
                self.churn(count)
            self.schedule(obj)
        return len(waiting), time.perf_counter() - wall, time.process_time() - cpu

    def schedule(self, obj: Obj) -> None:
        self.queue.add(self.templates.facts_of(obj), 0.0)
        waiting = self.queue.pop(0.0)
        assert waiting is not None
        pod = waiting.pod
        cycle = Cycle(pod, self.state)
        decision = self.decider.decide(self.profile, cycle)
        if decision.slot is not None:
            self.place(waiting.uid, pod, self.state.columns.names[decision.slot])
        elif self.scenario.pod(0, 1)["spec"].get("priority") and decision.evictable is not None:
            self.preempt(cycle, decision.evictable)
            self.queue.remove(pod.uid)
        else:
            self.unplaced += 1
            self.queue.park(waiting, frozenset(decision.why().refused_by), 0.0)

    def place(self, uid: str, pod: object, name: str) -> None:
        self.state.place(pod, name)  # type: ignore[arg-type]
        self.queue.remove(uid)
        self.wake(PodChanged(None, pod))  # type: ignore[arg-type]

    def preempt(self, cycle: Cycle, evictable: columns.Mask) -> None:
        search = Search(self.profile, [], lambda pod: "2026-01-01T00:00:00Z")
        found = find_victims(search, cycle, evictable, self.decider.ids).chosen
        assert found is not None
        for victim in found.victims:
            self.state.displace(victim.uid)
        self.victims += len(found.victims)
        self.state.place(cycle.pod, found.node)

    def churn(self, count: int) -> None:
        """A node comes, and a pod that fits nowhere."""
        facts = columns.facts_of(node(self.nodes + count, self.scenario.zones))
        self.state.set_node(facts)
        self.wake(NodeChanged(None, facts))
        large = basic(10**6 + count, self.nodes)
        large["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "900"
        for obj in self.objects(iter([large])):
            self.schedule(obj)

    def wake(self, happening: NodeChanged | PodChanged) -> None:
        terms = self.state.terms
        self.queue.wake(lambda pod, refused: helps(pod, refused, happening, terms), 0.0)


def alone(name: str, nodes: int, profile: bool) -> None:
    bench = Alone(SCENARIOS[name], nodes)
    bench.prepare()
    profiler = cProfile.Profile() if profile else None
    if profiler:
        profiler.enable()
    count, wall, cpu = bench.measure()
    if profiler:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
    more = f", {bench.unplaced} without a place" if bench.unplaced else ""
    more += f", {bench.victims} victims" if bench.victims else ""
    rate, by_cpu = count / wall, count / cpu
    print(f"{name:36} {nodes:5} nodes {count:6} pods {rate:8,.0f}/s ({by_cpu:,.0f}/s CPU){more}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="scenarios; all of them by default")
    parser.add_argument("--nodes", type=int, action="append", help="may be given again")
    parser.add_argument("--api", action="store_true", help="through API and store")
    parser.add_argument("--store", choices=("sqlite", "memory"), default="sqlite")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    for name in options.names or SCENARIOS:
        for nodes in options.nodes or NODES:
            if not options.api:
                alone(name, nodes, options.profile)
                continue
            with (
                tempfile.TemporaryDirectory(prefix="sagong-bench-") as directory,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                runner.run(bind_through_api(name, nodes, Path(directory), options))
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{'':36} greatest memory of the whole control plane {memory:,.0f} MB")


if __name__ == "__main__":
    main()
