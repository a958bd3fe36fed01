"""Processors of their own for containers, on real cgroups."""

import os

import pytest

from sagong.api.call import PatchType
from sagong.api.types import Obj
from sagong.node.alignment.settings import AlignmentSettings
from sagong.node.alignment.topology import format_cpu_list, read_topology

from .conftest import Node, is_ready, pod, shell
from .test_devices import pod_resources

TELLING = "while :; do grep Cpus_allowed_list /proc/self/status; sleep 0.2; done"
# The reserved memory is what eviction keeps free by default.
STATIC = AlignmentSettings(
    cpu_policy="static",
    reserved_cpus="0",
    memory_policy="Static",
    reserved_memory={read_topology().numa_nodes[0]: {"memory": "100Mi"}},
    topology_policy="single-numa-node",
    topology_scope="pod",
)

pytestmark = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")


def telling(cpu: str) -> Obj:
    amounts = {"cpu": cpu, "memory": "32Mi"}
    return shell(TELLING, resources={"limits": amounts, "requests": amounts})


async def wait_cpus(node: Node, obj: Obj, cpus: str) -> None:
    """Until a pod's container says that it may run there."""

    def last() -> str:
        lines = node.log(obj, "c0").splitlines()
        return lines[-1].split()[-1] if lines else ""

    await node.wait(lambda: last() == cpus)


async def test_exclusive_processors(node: Node) -> None:
    everything = read_topology().all_cpus
    settings = {"alignment": STATIC, "reserved": {"cpu": "1"}}
    async with node.running_agent(**settings) as agent:
        await node.create(pod("plain", shell(TELLING)))
        plain = await node.wait_pod("plain", is_ready)
        await wait_cpus(node, plain, format_cpu_list(everything))
        await node.create(pod("own", telling("1")))
        own = await node.wait_pod("own", is_ready)
        cpus = agent.aligner.cpus.own(own["metadata"]["uid"], "c0")
        assert len(cpus) == 1
        assert 0 not in cpus
        await wait_cpus(node, own, format_cpu_list(cpus))
        await wait_cpus(node, plain, format_cpu_list(everything - cpus))
        told = {p.name: p.containers[0] for p in await pod_resources(node)}
        assert {name: list(c.cpu_ids) for name, c in told.items()} == {
            "plain": [],
            "own": sorted(cpus),
        }
        (memory,) = told["own"].memory
        assert (memory.memory_type, memory.size) == ("memory", 32 << 20)
        assert len(memory.topology.nodes) == 1
        resized = {"limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}}
        change = {"spec": {"containers": [{"name": "c0", "resources": resized}]}}
        await node.client.patch(
            "pods",
            "own",
            change,
            namespace="default",
            subresource="resize",
            patch_type=PatchType.STRATEGIC,
        )
        await node.wait_pod("own", is_refused_resize)
    # Another agent knows whose they are, and gives them back.
    async with node.running_agent(**settings):
        await wait_cpus(node, plain, format_cpu_list(everything - cpus))
        await node.delete("own")
        await wait_cpus(node, plain, format_cpu_list(everything))


def is_refused_resize(obj: Obj) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or []
    pending = [c for c in conditions if c["type"] == "PodResizePending"]
    text = "Resize is infeasible for Guaranteed Pods alongside CPU Manager static policy"
    return any((c["reason"], c["message"]) == ("Infeasible", text) for c in pending)
