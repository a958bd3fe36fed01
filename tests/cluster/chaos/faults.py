"""What is done to a cluster: which fault, to whom, for how long. Planned by seed, then done."""

import asyncio
import os
import random
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sagong.local import network_namespaces
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeFailure
from sagong.node.pods.labels import POD_NAME, POD_UID

from .place import NAMESPACE, Place, run

# Kinds that last, with the seconds that they may last before pods of the node may be moved. A node
# is NotReady after 20 s of silence, or as soon as its agent says that the runtime is down; the
# workload tolerates that for 10 s.
GENTLE_SECONDS: Mapping[str, float] = {
    "kill server": 1e9,
    "stop server": 1e9,
    "kill agent": 8,
    "stop agent": 8,
    "kill runtime": 1e9,  # its agent starts it again
    "stop runtime": 5,
    "cut link": 8,
}
# Kinds that happen to one pod, at once.
AT_ONCE = ("kill sandbox", "kill shim")
LASTS_SECONDS = (3.0, 5.0, 5.0, 8.0, 15.0, 30.0, 45.0)
_CNI_RESULTS = Path("/var/lib/cni/results")


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    node: str = ""  # "" for the server

    def __str__(self) -> str:
        return f"{self.kind} {self.node}".strip()


@dataclass(frozen=True, slots=True)
class Round:
    """Faults that begin within the first seconds and are healed together."""

    faults: Sequence[Fault]
    delays: Sequence[float]
    seconds: float

    @property
    def disturbed_nodes(self) -> frozenset[str]:
        """Nodes whose pods may be moved or restarted by what happens."""
        lasting = [f for f in self.faults if f.kind in GENTLE_SECONDS and f.node]
        harsh = {f.node for f in lasting if self.seconds > GENTLE_SECONDS[f.kind]}
        # Two faults at once on a node add up: a dead agent does not start its dead runtime.
        twice = {f.node for f in lasting if sum(g.node == f.node for g in lasting) > 1}
        return frozenset(harsh | twice)

    @property
    def spares_traffic(self) -> bool:
        """Whether no connection may fail: the kernel's rules and all pods stay as they are."""
        return not self.disturbed_nodes and all(
            f.kind != "cut link" and f.kind not in AT_ONCE for f in self.faults
        )


def plan_round(chance: random.Random, nodes: Sequence[str]) -> Round:
    kinds = [*GENTLE_SECONDS, *AT_ONCE]
    faults: list[Fault] = []
    for _ in range(chance.choice((1, 1, 2, 2, 3))):
        kind = chance.choice(kinds)
        fault = Fault(kind, "" if kind.endswith("server") else chance.choice(list(nodes)))
        if not any(f.kind.split()[1] == kind.split()[1] and f.node == fault.node for f in faults):
            faults.append(fault)
    delays = [chance.uniform(0, 3) for _ in faults]
    return Round(faults, delays, chance.choice(LASTS_SECONDS))


async def inflict(place: Place, round_: Round, chance: random.Random) -> set[str]:
    """Let the round happen, and heal it. Returns the uids of pods that were hit."""
    hit: set[str] = set()

    async def one(fault: Fault, delay: float, pick: float) -> None:
        await asyncio.sleep(delay)
        place.say(f"  {fault}")
        hit.update(await _inflict(place, fault, pick))

    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for fault, delay in zip(round_.faults, round_.delays, strict=True):
            tasks.create_task(one(fault, delay, chance.random()))
    await asyncio.sleep(max(0.0, round_.seconds - (loop.time() - began)))
    await heal(place)
    place.say(f"  healed after {loop.time() - began:.1f} s")
    return hit


async def heal(place: Place) -> None:
    """Whatever is hung goes on, whatever is dead is started, links are up."""
    for node in place.nodes:
        for program in ("agent", "runtime"):
            place.signal(program, node, signal.SIGCONT)
    place.signal("server", "", signal.SIGCONT)
    await place.up()


async def _inflict(place: Place, fault: Fault, pick: float) -> set[str]:
    verb, what = fault.kind.split()
    if what in ("server", "agent", "runtime"):
        number = signal.SIGKILL if verb == "kill" else signal.SIGSTOP
        place.signal(what, fault.node, number)
    elif what == "link":
        await run("ip", "link", "set", network_namespaces.host_interface(fault.node), "down")
    else:
        return await _hit_pod(place, fault.node, what, pick)
    return set()


async def _hit_pod(place: Place, node: str, what: str, pick: float) -> set[str]:
    """Kill the first process of a pod and forget its network, or kill the pod's shim."""
    try:
        async with asyncio.timeout(5), CriClient(place.runtime(node).endpoint) as cri:
            sandboxes = [
                s
                for s in await cri.list_sandboxes()
                if s.state == 0 and s.metadata.namespace == NAMESPACE
            ]
    except (RuntimeFailure, TimeoutError) as error:  # the runtime is down just now
        place.say(f"    nobody is hit: {type(error).__name__}")
        return set()
    if not sandboxes:
        return set()
    sandbox = sandboxes[int(pick * len(sandboxes))]
    place.say(f"    pod {sandbox.labels[POD_NAME]}")
    pids = sandbox_processes(sandbox.id)
    if what == "shim":
        pids = shims_of(sandbox.id)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    if what == "sandbox":
        _forget_network(sandbox.id)
    return {sandbox.labels[POD_UID]}


def sandbox_processes(sandbox: str) -> list[int]:
    """The processes in a sandbox's own cgroup: the pause process."""
    found: set[int] = set()
    for file in Path("/sys/fs/cgroup/pids").glob(f"kubepods-*/**/{sandbox}/cgroup.procs"):
        found |= {int(pid) for pid in file.read_text().split()}
    return sorted(found)


def shims_of(sandbox: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "containerd-shim" in words[0] and sandbox in words:
            found.append(int(path.parent.name))
    return found


def _forget_network(sandbox: str) -> None:
    """Take away what CNI remembers of a sandbox's network, so that it is taken down without."""
    for path in _CNI_RESULTS.glob(f"*{sandbox}*"):
        path.unlink(missing_ok=True)


def ipam_files(place: Place, node: str) -> list[Path]:
    """One file an address that CNI holds for taken."""
    directory = place.layout.node_dir(node)
    return [p for p in directory.glob("network/**/10.*") if p.is_file()]


def remove(place: Place) -> None:
    shutil.rmtree(place.base, ignore_errors=True)
