"""Pods from a directory of manifests, with their mirrors."""

from pathlib import Path

import yaml

from sagong.api.errors import NotFound
from sagong.api.types import Obj

from .conftest import FOREVER, NODE, Node, is_ready, pod, shell

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
