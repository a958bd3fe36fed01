"""A node that is short of something, on a real runtime."""

from sagong.api.meta import condition

from .conftest import FOREVER, NODE, Node, is_ready, phase_is, pod, shell

# Everything counts as too little, so that pods go one after the other.
GREEDY = {"eviction_hard": {"memory.available": "100%"}, "eviction_seconds": 0.3}


async def test_memory_pressure_evicts_the_greediest_first(node: Node) -> None:
    async with node.running_agent():
        hog = "dd if=/dev/zero of=/dev/null bs=40M count=1000000"
        modest = {"resources": {"requests": {"memory": "64Mi"}}}
        await node.create(pod("modest", shell(FOREVER, **modest)))
        await node.create(pod("hog", shell(hog)))
        await node.create(pod("vital", shell(FOREVER), priorityClassName="system-node-critical"))
        for name in ("modest", "hog", "vital"):
            await node.wait_pod(name, is_ready)
    async with node.running_agent(**GREEDY):
        hog_seen = await node.wait_pod("hog", phase_is("Failed"))
        status = hog_seen["status"]
        assert status["reason"] == "Evicted"
        assert status["message"].startswith("The node was low on resource: memory. Threshold ")
        assert "Container c0 was using" in status["message"]
        target = condition(hog_seen, "DisruptionTarget")
        assert target is not None
        assert target["reason"] == "TerminationByKubelet"
        assert ("Evicted", status["message"]) in await node.events("hog")
        assert ("EvictionThresholdMet", "Attempting to reclaim memory") in await node.events(NODE)
        await node.wait_node(
            lambda own: (condition(own, "MemoryPressure") or {}).get("status") == "True"
        )
        await node.wait_pod("modest", phase_is("Failed"))
        assert is_ready(await node.get("vital"))
        # A node under pressure takes no pod without requests.
        await node.create(pod("late", shell(FOREVER)))
        late = await node.wait_pod("late", phase_is("Failed"))
        assert late["status"]["message"] == (
            "Pod was rejected: The node had condition: [MemoryPressure]. "
        )


async def test_too_much_in_an_empty_dir(node: Node) -> None:
    script = f"dd if=/dev/zero of=/v/big bs=1M count=5; {FOREVER}"
    volumes = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
    container = shell(script, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    async with node.running_agent(eviction_seconds=0.3):
        await node.create(pod("full", container, volumes=volumes))
        seen = await node.wait_pod("full", phase_is("Failed"))
        assert seen["status"]["reason"] == "Evicted"
        text = 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '
        assert seen["status"]["message"] == text
