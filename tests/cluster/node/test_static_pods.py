"""Pods from a directory of manifests, with their mirrors."""

from pathlib import Path

import yaml

from sagong.api.errors import NotFound
from sagong.api.types import Obj
from sagong.node.pods.resources import count

from .conftest import FOREVER, NODE, Node, is_ready, phase_is, pod, shell

NAME = f"fixed-{NODE}"


def manifest(script: str = FOREVER) -> Obj:
    made = pod("fixed", shell(script))
    del made["spec"]["nodeName"]
    made["metadata"]["labels"] = {"tier": "static"}
    return made


def write(directory: Path, text: str) -> None:
    """As editors do: never half a file."""
    temporary = directory / ".new"
    temporary.write_text(text)
    temporary.rename(directory / "fixed.yaml")


async def test_a_static_pod_and_its_mirror(node: Node, tmp_path: Path) -> None:
    directory = tmp_path / "manifests"
    directory.mkdir()
    write(directory, yaml.safe_dump(manifest(f"echo one; {FOREVER}")))
    async with node.running_agent(static_pod_dir=directory) as agent:
        mirror = await node.wait_pod(NAME, is_ready)
        uid = mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"]
        assert uid == mirror["metadata"]["annotations"]["kubernetes.io/config.hash"]
        assert uid != mirror["metadata"]["uid"]
        assert mirror["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
        assert mirror["metadata"]["labels"] == {"tier": "static"}
        assert mirror["metadata"]["ownerReferences"][0]["kind"] == "Node"
        assert list(agent.workers) == [uid]
        # Who deletes the mirror deletes nothing else, and soon there is another.
        old = mirror["metadata"]["uid"]
        await node.client.delete("pods", NAME, namespace="default")
        again = await node.wait_pod(NAME, lambda p: is_ready(p) and p["metadata"]["uid"] != old)
        container = again["status"]["containerStatuses"][0]
        assert container == mirror["status"]["containerStatuses"][0]
    # An agent that comes back goes on with it.
    async with node.running_agent(static_pod_dir=directory) as agent:
        kept = await node.wait_pod(NAME, is_ready)
        assert kept["status"]["containerStatuses"][0]["containerID"] == container["containerID"]
        # Another manifest is another pod.
        write(directory, yaml.safe_dump(manifest(f"echo two; {FOREVER}")))
        changed = await node.wait_pod(
            NAME,
            lambda p: (
                is_ready(p) and p["metadata"]["annotations"]["kubernetes.io/config.mirror"] != uid
            ),
        )
        new = changed["metadata"]["annotations"]["kubernetes.io/config.mirror"]
        await node.wait(lambda: list(agent.workers) == [new])
        # What cannot be read changes nothing but itself.
        (directory / "broken.yaml").write_text("kind: [")
        (directory / "fixed.yaml").unlink()
        await node.wait(lambda: not agent.workers and not agent.view.uids())
        await node.wait_gone(NAME)


async def test_static_pods_need_no_api(node: Node, tmp_path: Path) -> None:
    """They run before the agent has reached the API for the first time."""
    directory = tmp_path / "manifests"
    directory.mkdir()
    write(directory, yaml.safe_dump(manifest()))
    async with node.agent_without_server(static_pod_dir=directory) as agent:
        await node.wait(lambda: any(agent.view.pod(uid).running for uid in agent.view.uids()))
    try:
        await node.get(NAME)
    except NotFound:
        return
    raise AssertionError("there is a mirror though nobody could make one")


async def test_a_static_pod_takes_the_room_of_others(node: Node, tmp_path: Path) -> None:
    def asking(cpu: int) -> Obj:
        return {"resources": {"requests": {"cpu": f"{cpu}m"}}}

    directory = tmp_path / "manifests"
    directory.mkdir()
    async with node.running_agent(static_pod_dir=directory):
        own = await node.client.get("nodes", NODE)
        cores = count("cpu", own["status"]["allocatable"]["cpu"])
        await node.create(pod("large", shell(FOREVER, **asking(cores - 100))))
        await node.create(pod("small", shell(FOREVER, **asking(100))))
        for name in ("large", "small"):
            await node.wait_pod(name, is_ready)
        made = manifest()
        made["spec"]["containers"][0] |= asking(200)
        write(directory, yaml.safe_dump(made))
        await node.wait_pod(NAME, is_ready)
        gone = await node.wait_pod("large", phase_is("Failed"))
        assert (gone["status"]["reason"], gone["status"]["message"]) == (
            "Preempting",
            "Preempted in order to admit critical pod",
        )
        assert is_ready(await node.get("small"))
        (directory / "fixed.yaml").unlink()
        await node.wait_gone(NAME)
