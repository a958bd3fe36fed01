"""What must hold once all is healed: everything runs as it should, and nothing is left over."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagong.api.errors import ApiError, NotFound
from sagong.api.meta import condition
from sagong.api.types import Obj
from sagong.local.containerd import mounts_under
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeFailure
from sagong.node.pods.labels import POD_UID

from .faults import ipam_files
from .place import NAMESPACE, Place, World
from .workload import COMPLETIONS, STATEFUL

SETTLE_SECONDS_MAX = 180.0  # back-off of restarts among it
STAYS_SECONDS = 6.0  # what was hung or cut off tells late what it has seen
LEAK_SECONDS_MAX = 120.0  # collectors come by once a minute
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_POD_ADDRESS = re.compile(r"\b10\.244\.\d+\.\d+\b(?!/)")


@dataclass(frozen=True, slots=True)
class PodSeen:
    """A pod that runs, by what a restart would change."""

    name: str
    app: str
    node: str
    containers: tuple[tuple[str, int], ...]


async def pods_of(world: World) -> list[Obj]:
    listing = await world.client.list("pods", namespace=NAMESPACE)
    return [item.obj for item in listing.items]


async def seen(world: World) -> Mapping[str, PodSeen]:
    """The running pods by uid."""
    return {
        pod["metadata"]["uid"]: PodSeen(
            pod["metadata"]["name"],
            pod["metadata"]["labels"]["app"],
            pod["spec"]["nodeName"],
            tuple(
                (status["containerID"], status["restartCount"])
                for status in pod["status"]["containerStatuses"]
            ),
        )
        for pod in await pods_of(world)
        if pod["status"]["phase"] == "Running"
    }


async def settled(world: World, jobs: Sequence[str]) -> str:
    """Wait until all is as it should be, and stays so; what is wrong at the end, or ""."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SETTLE_SECONDS_MAX
    since = loop.time()
    while True:
        try:
            problem = await _unsettled(world, jobs)
        except ApiError as error:
            problem = str(error)
        if problem:
            since = loop.time()
        if loop.time() > (until if problem else since + STAYS_SECONDS):
            return problem
        await asyncio.sleep(0.5)


async def _unsettled(world: World, jobs: Sequence[str]) -> str:
    client = world.client
    for item in (await client.list("nodes")).items:
        ready = condition(item.obj, "Ready") or {}
        if ready.get("status") != "True" or item.obj["spec"].get("taints"):
            return f"node {item.obj['metadata']['name']}: {ready} {item.obj['spec'].get('taints')}"
    web = await client.get("deployments.apps", "web", namespace=NAMESPACE)
    wanted, status = web["spec"]["replicas"], web["status"]
    counts = [status.get(k, 0) for k in ("replicas", "updatedReplicas", "readyReplicas")]
    if counts != [wanted] * 3 or status["observedGeneration"] != web["metadata"]["generation"]:
        return f"Deployment web: {wanted} wanted, {status}"
    data = await client.get("statefulsets.apps", "data", namespace=NAMESPACE)
    if data["status"].get("readyReplicas") != STATEFUL:
        return f"StatefulSet data: {data['status']}"
    every = (await client.get("daemonsets.apps", "every", namespace=NAMESPACE))["status"]
    if every.get("numberReady") != len(world.place.nodes):
        return f"DaemonSet every: {every}"
    for name in jobs:
        job = await client.get("jobs.batch", name, namespace=NAMESPACE)
        if (condition(job, "Complete") or {}).get("status") != "True":
            return f"Job {name}: {job['status']}"
    return _unfinished(await pods_of(world))


def _unfinished(pods: Sequence[Obj]) -> str:
    for pod in pods:
        ready = condition(pod, "Ready") or {}
        done = pod["status"]["phase"] in ("Succeeded", "Failed")
        if "deletionTimestamp" in pod["metadata"] or not (done or ready.get("status") == "True"):
            return f"pod {pod['metadata']['name']}: {json.dumps(pod['status'])}"
        if done and pod["metadata"]["labels"]["app"] == "every":
            return f"pod {pod['metadata']['name']} is {pod['status']}"
    return ""


async def check_job(world: World, name: str, *, undisturbed: bool) -> None:
    """All indexes once; no pod ran twice; and without a reason nothing was done again."""
    place = world.place
    job = await world.client.get("jobs.batch", name, namespace=NAMESPACE)
    status = job["status"]
    indexes = f"0-{COMPLETIONS - 1}"
    if status.get("succeeded") != COMPLETIONS or status.get("completedIndexes") != indexes:
        place.violated(f"Job {name} ended with {status}")
    runs = (place.shared / f"runs-{name}").read_text().splitlines()
    uids = [line.split()[0] for line in runs]
    twice = {uid for uid in uids if uids.count(uid) > 1}
    if twice:
        place.violated(f"Job {name}: pods {twice} with restartPolicy Never ran twice")
    if undisturbed and (len(runs) != COMPLETIONS or status.get("failed")):
        place.violated(f"Job {name} made {len(runs)} runs, {status.get('failed', 0)} failed")
    await world.client.delete(
        "jobs.batch", name, namespace=NAMESPACE, propagation_policy="Foreground"
    )
    for _ in range(600):
        try:
            await world.client.get("jobs.batch", name, namespace=NAMESPACE)
        except NotFound:
            return
        await asyncio.sleep(0.1)
    place.violated(f"Job {name} is not deleted")


async def check_starts(world: World, known: Mapping[str, str]) -> None:
    """Every incarnation of a stateful pod found its volume and wrote into it."""
    for ordinal in range(STATEFUL):
        name = f"data-{ordinal}"
        claim = await world.client.get(
            "persistentvolumeclaims", f"data-{name}", namespace=NAMESPACE
        )
        volume = await world.client.get("persistentvolumes", claim["spec"]["volumeName"])
        source = volume["spec"].get("local") or volume["spec"].get("hostPath")
        written = (Path(source["path"]) / "starts").read_text().split()
        lost = [uid for uid, owner in known.items() if owner == name and uid not in written]
        if lost:
            world.place.violated(f"volume of {name} has lost what {lost} wrote")


async def unleaked(world: World, *, gone: bool = False) -> list[str]:
    """Wait until no node has anything of pods that are gone; what is left at the end of it."""
    loop = asyncio.get_running_loop()
    until = loop.time() + LEAK_SECONDS_MAX
    while True:
        pods = [] if gone else await pods_of(world)
        found: list[str] = []
        for node in world.place.nodes:
            mine = [p for p in pods if p["spec"].get("nodeName") == node]
            found += [f"{node}: {text}" for text in await _leaks(world.place, node, mine)]
        found += await _stale_rules(world.place, pods)
        if not found or loop.time() > until:
            return found
        await asyncio.sleep(2)


async def _leaks(place: Place, node: str, pods: Sequence[Obj]) -> list[str]:
    uids = {pod["metadata"]["uid"] for pod in pods}
    running = {p["metadata"]["uid"] for p in pods if p["status"]["phase"] == "Running"}
    try:
        async with CriClient(place.runtime(node).endpoint) as cri:
            sandboxes = await cri.list_sandboxes()
            containers = await cri.list_containers()
    except RuntimeFailure as error:
        return [f"the runtime does not answer: {error}"]
    ready = [s for s in sandboxes if s.state == 0]
    found = [
        f"sandbox {sandbox.id[:12]} of {sandbox.metadata.name}"
        for sandbox in sandboxes
        if sandbox.labels[POD_UID] not in uids
    ]
    found += [
        f"container {container.id[:12]} of pod {container.labels[POD_UID]}"
        for container in containers
        if container.labels[POD_UID] not in uids
    ]
    if sorted(s.labels[POD_UID] for s in ready) != sorted(running):
        found.append(f"{len(ready)} sandboxes are ready for {len(running)} running pods")
    running_ids = {c.id for c in containers if c.state == 1} | {s.id for s in ready}
    found += _left_mounts(place, node, uids, running_ids, len(ready))
    found += await _left_elsewhere(place, node, uids, len(ready))
    return found


def _left_mounts(
    place: Place, node: str, uids: set[str], running: set[str], sandboxes: int
) -> list[str]:
    found = []
    layout = place.layout
    for point in mounts_under([layout.node_dir(node)]):
        named = _UID.findall(str(point.relative_to(layout.node_dir(node))))
        if "/pods/" in str(point) and named and named[0] not in uids:
            found.append(f"mount {point}")
    namespaces = 0
    for point in mounts_under([layout.node_run_dir(node)]):
        words = point.parts
        namespaces += "netns" in words
        if words[-1] in ("rootfs", "shm") and words[-2] not in running:
            found.append(f"mount {point}")
    if namespaces != sandboxes:
        found.append(f"{namespaces} network namespaces for {sandboxes} sandboxes")
    return found


async def _left_elsewhere(place: Place, node: str, uids: set[str], sandboxes: int) -> list[str]:
    found = []
    links: list[Any] = json.loads(await place.inside(node, "ip", "-j", "link") or "[]")
    veths = [link["ifname"] for link in links if link["ifname"].startswith("veth")]
    if len(veths) != sandboxes:
        found.append(f"{len(veths)} links for {sandboxes} sandboxes")
    taken = ipam_files(place, node)
    if len(taken) != sandboxes:
        found.append(f"{len(taken)} addresses for {sandboxes} sandboxes")
    found += [f"cgroup of {uid}" for uid in _cgroups(node) - uids]
    directories = place.layout.node_dir(node) / "agent" / "pods"
    kept = {path.name for path in directories.glob("*")}
    found += [f"directory of pod {uid}" for uid in kept - uids]
    shims = _shims(str(place.runtime(node).socket))
    if shims != sandboxes:
        found.append(f"{shims} shims for {sandboxes} sandboxes")
    return found


def _cgroups(node: str) -> set[str]:
    """The pods that have a cgroup."""
    root = Path("/sys/fs/cgroup")
    return {path.name[3:] for path in root.glob(f"*/kubepods-{node}/**/pod*")}


def _shims(socket: str) -> int:
    count = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        count += "containerd-shim" in words[0] and socket in words
    return count


async def _stale_rules(place: Place, pods: Sequence[Obj]) -> list[str]:
    """Addresses of pods that are gone, in the rules of any node."""
    live = {pod["status"].get("podIP") for pod in pods}
    found = []
    for node in place.nodes:
        rules = await place.inside(node, "nft", "list", "ruleset")
        own = _own_addresses(await place.inside(node, "ip", "-j", "addr"))
        stale = set(_POD_ADDRESS.findall(rules)) - live - own
        found += [f"{node}: rules name {address}" for address in sorted(stale)]
    return found


def _own_addresses(text: str) -> set[str]:
    links: list[Any] = json.loads(text or "[]")
    return {info["local"] for link in links for info in link["addr_info"] if "local" in info}
