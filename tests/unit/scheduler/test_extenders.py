"""Extenders over HTTP: what they are sent, what their answers and their failures do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from tests.unit.scheduler.cluster import Cluster, make_node, make_pod

from sagong.api.types import Obj
from sagong.scheduler.cycle import Decision, Outside, slots_of
from sagong.scheduler.extender_config import extenders_of
from sagong.scheduler.extenders import ExtenderFailed, Extenders
from sagong.scheduler.preemption import Attempt, Candidate

GPU = "example.com/gpu"


class Service:
    """An extender that answers what a test gave it, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, Obj]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        verb = request.match_info["verb"]
        self.asked.append((verb, await request.json()))
        answer = self.answers.get(verb)
        return web.Response(status=500) if answer is None else web.json_response(answer)


@asynccontextmanager
async def service(**config: Any) -> AsyncIterator[tuple[Service, Extenders]]:
    served = Service()
    app = web.Application()
    app.router.add_post("/{verb}", served.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    entry = {"urlPrefix": f"http://{host}:{port}", "httpTimeout": "30s", "weight": 2, **config}
    configs, problems = extenders_of([entry])
    assert not problems
    extenders = Extenders(configs)
    try:
        yield served, extenders
    finally:
        await extenders.aclose()
        await runner.cleanup()


async def decide(cluster: Cluster, extenders: Extenders, pod: Obj) -> Decision:
    facts, cycle = cluster.facts(pod), cluster.cycle(pod)
    filtered = cluster.decider.filter(cluster.profile, cycle)
    names = [cluster.state.columns.names[s] for s in slots_of(filtered)]
    nodes = {name: {"metadata": {"name": name}} for name in names}
    opinion = await extenders.filter(facts, pod, nodes)
    return cluster.decider.decide(cluster.profile, cycle, outside=Outside(opinion, None))


def three() -> Cluster:
    return Cluster(make_node("a"), make_node("b"), make_node("c", unschedulable=True))


async def test_nodes_are_refused_with_reasons() -> None:
    async with service(filterVerb="filter", nodeCacheCapable=True) as (served, extenders):
        served.answers["filter"] = {
            "nodenames": [],
            "failedNodes": {"a": "no licence"},
            "failedAndUnresolvableNodes": {"b": "no licence ever"},
        }
        cluster = three()
        decision = await decide(cluster, extenders, make_pod("p"))
        assert decision.slot is None
        why = decision.why()
        assert why.reasons == {
            "no licence": 1,
            "no licence ever": 1,
            "node(s) were unschedulable": 1,
        }
        assert why.evictable == 1
        assert "extender" in why.refused_by
        ((verb, body),) = served.asked
        assert verb == "filter"
        assert body["NodeNames"] == ["a", "b"]
        assert body["Pod"]["metadata"]["name"] == "p"


async def test_whole_nodes_are_sent_to_those_that_do_not_know_them() -> None:
    async with service(filterVerb="filter") as (served, extenders):
        served.answers["filter"] = {"Nodes": {"items": [{"metadata": {"name": "b"}}]}}
        cluster = three()
        decision = await decide(cluster, extenders, make_pod("p"))
        assert decision.slot == cluster.state.columns.slot("b")
        assert [n["metadata"]["name"] for n in served.asked[0][1]["Nodes"]["items"]] == ["a", "b"]


async def test_scores_are_weighed_in() -> None:
    async with service(prioritizeVerb="score") as (served, extenders):
        served.answers["score"] = [{"Host": "a", "Score": 1}, {"Host": "b", "Score": 10}]
        cluster = three()
        cluster.place(make_pod("x", cpu="2"), "b")
        decision = await decide(cluster, extenders, make_pod("p"))
        assert decision.slot == cluster.state.columns.slot("b")
        served.answers["score"] = None
        # Scores are not worth failing for.
        decision = await decide(cluster, extenders, make_pod("q"))
        assert decision.slot == cluster.state.columns.slot("a")


async def test_only_pods_with_managed_resources_are_its_business() -> None:
    async with service(filterVerb="filter", managedResources=[{"name": GPU}]) as (_, extenders):
        cluster = three()
        plain = make_pod("p")
        wants = make_pod("q")
        wants["spec"]["containers"][0]["resources"]["requests"][GPU] = "1"
        assert not extenders.concern(cluster.facts(plain))
        assert extenders.concern(cluster.facts(wants))


async def test_failures_count_unless_the_extender_may_be_ignored() -> None:
    for answer in (None, {"Error": "out of order"}):
        async with service(filterVerb="filter") as (served, extenders):
            served.answers["filter"] = answer
            with pytest.raises(ExtenderFailed):
                await decide(three(), extenders, make_pod("p"))
        async with service(filterVerb="filter", ignorable=True) as (served, extenders):
            served.answers["filter"] = answer
            assert (await decide(three(), extenders, make_pod("p"))).slot is not None


async def test_victims_are_agreed_upon() -> None:
    async with service(preemptVerb="preempt") as (served, extenders):
        cluster = three()
        low = [cluster.facts(make_pod(f"low{i}")) for i in range(3)]
        slot = cluster.state.columns.slot("a")
        assert slot is not None
        candidates = [
            Candidate(slot, "a", (low[0], low[1]), 0),
            Candidate(slot, "b", (low[2],), 1),
        ]
        served.answers["preempt"] = {
            "nodeNameToMetaVictims": {"a": {"pods": [{"uid": low[1].uid}], "numPDBViolations": 3}}
        }
        pod = make_pod("high", priority=9)
        found = await extenders.choose_victims(cluster.facts(pod), pod, Attempt(candidates))
        assert found.chosen is not None
        assert found.chosen.victims == (low[1],)
        assert found.chosen.violations == 3
        sent = served.asked[0][1]["NodeNameToMetaVictims"]
        assert sent["b"] == {"Pods": [{"UID": low[2].uid}], "NumPDBViolations": 1}


async def test_it_may_bind() -> None:
    async with service(bindVerb="bind") as (served, extenders):
        pod = three().facts(make_pod("p"))
        binder = extenders.binder_of(pod)
        assert binder is not None
        served.answers["bind"] = {}
        await extenders.bind(binder, pod, "a")
        assert served.asked[0][1] == {
            "PodName": "p",
            "PodNamespace": "default",
            "PodUID": pod.uid,
            "Node": "a",
        }
        served.answers["bind"] = {"Error": "taken"}
        with pytest.raises(ExtenderFailed, match="taken"):
            await extenders.bind(binder, pod, "a")
