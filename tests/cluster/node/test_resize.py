"""In-place resize of a pod's own resources, on real cgroups."""

from sagong.api.call import PatchType
from sagong.api.types import Obj

from .conftest import FOREVER, Node, is_ready, pod, shell

MI = 1 << 20


def amounts(memory: str) -> Obj:
    return {"limits": {"cpu": "200m", "memory": memory}, "requests": {"cpu": "100m"}}


async def test_a_pod_grows_as_such(node: Node) -> None:
    anew = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    made = pod(
        "level", shell(FOREVER), shell(FOREVER, resizePolicy=anew), resources=amounts("64Mi")
    )

    def limit() -> int:
        group = agent.cgroups.directory(uid, "Burstable", "memory")
        file = "memory.max" if agent.cgroups.is_unified else "memory.limit_in_bytes"
        return int((group / file).read_text())

    def is_settled(obj: Obj) -> bool:
        status = obj["status"]
        restarts = [c["restartCount"] for c in status["containerStatuses"]]
        given = (status.get("resources") or {}).get("limits", {}).get("memory")
        return is_ready(obj) and restarts == [0, 1] and given == "96Mi"

    async with node.running_agent() as agent:
        await node.create(made)
        seen = await node.wait_pod("level", is_ready)
        uid = seen["metadata"]["uid"]
        assert seen["status"]["resources"]["limits"] == {"cpu": "200m", "memory": "64Mi"}
        assert limit() == 64 * MI
        await node.client.patch(
            "pods",
            "level",
            {"spec": {"resources": {"limits": {"memory": "96Mi"}}}},
            namespace="default",
            subresource="resize",
            patch_type=PatchType.STRATEGIC,
        )
        await node.wait_pod("level", is_settled)
        assert limit() == 96 * MI
    async with node.running_agent() as agent:
        await node.wait(lambda: uid in agent.workers)
        assert is_settled(await node.get("level"))
        await node.wait_event("level", "ResizeCompleted")
