"""``sagong status``: what runs on this machine, how the cluster is, what is wrong and what to do.

The machine's own view comes from pid files and works without a server; the cluster's view is asked
of the server if it answers.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from sagong.api.errors import ApiError
from sagong.api.meta import is_deleting, name_of, namespace_of
from sagong.api.resources import ResourceTable
from sagong.api.types import Obj
from sagong.cli import options
from sagong.client.client import Client
from sagong.client.https import Https
from sagong.client.kubeconfig import KubeconfigError, read_context
from sagong.core.clock import SystemClock
from sagong.local import containerd, processes
from sagong.local.layout import ClusterDescription, Layout

ANSWER_SECONDS_MAX = 5.0  # past it the server counts as silent
PODS_SHOWN_MAX = 20
# Conditions of a node that should be False; Ready should be True.
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


@dataclass(frozen=True, slots=True)
class Program:
    """A program that should run: its pid file says whether it does."""

    name: str
    place: str  # "this machine" or a node
    pid_file: Path
    log_file: Path


@dataclass(slots=True)
class Report:
    """Lines to print, and what is wrong with what to do about it."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@click.command()
@options.data_dir
@options.run_dir
def command(data_dir: Path, run_dir: Path) -> None:
    """Say what runs, where, since when, how much memory it takes; what is wrong and what to do.

    Exits with 1 if anything is wrong, 3 if no cluster is here.
    """
    layout = options.layout(data_dir, run_dir)
    description = ClusterDescription.read(layout.description_file)
    if description is None:
        click.echo(f"no cluster in {layout.data_dir}; bring one up with `sagong up`")
        raise click.exceptions.Exit(3)
    report = Report()
    add_programs(report, programs_of(layout, description), now=SystemClock().now())
    asyncio.run(_add_cluster(report, layout))
    for line in report.lines:
        click.echo(line)
    if not report.problems:
        click.echo("\nall is well")
        return
    click.echo("\nwrong:")
    for problem in report.problems:
        click.echo(f"  {problem}")
    raise click.exceptions.Exit(1)


def programs_of(layout: Layout, description: ClusterDescription) -> Sequence[Program]:
    """The server, and each node's agent and containerd."""
    server = Program("server", "this machine", layout.pid_file("server"), layout.log_file("server"))
    programs = [server]
    if description.simulated:
        name, place = "simulated", f"{description.simulated} nodes"
        programs.append(Program(name, place, layout.pid_file(name), layout.log_file(name)))
    for node in description.nodes:
        agent = f"agent-{node}"
        runtime = containerd.instance_for(layout.node_dir(node), layout.node_run_dir(node))
        programs += [
            Program("agent", node, layout.pid_file(agent), layout.log_file(agent)),
            Program("containerd", node, runtime.pid_file, runtime.log_file),
        ]
    return programs


def add_programs(report: Report, programs: Sequence[Program], *, now: float) -> None:
    """A row for each program; what does not run is a problem."""
    rows = [("PROGRAM", "WHERE", "PID", "RUNNING FOR", "MEMORY")]
    for program in programs:
        process = processes.read_pid_file(program.pid_file)
        if process is None:
            rows.append((program.name, program.place, "-", "not running", "-"))
            report.problems.append(
                f"{program.name} of {program.place} does not run: `sagong up` with the same flags "
                f"starts it again; {program.log_file} says why it ended"
            )
            continue
        age = duration(now - processes.started_at(process, now=now))
        memory = f"{processes.resident_bytes(process.pid) / 2**20:.0f} MiB"
        rows.append((program.name, program.place, str(process.pid), age, memory))
    report.lines += table(rows)


def duration(seconds: float) -> str:
    """As kubectl writes ages: the two largest units."""
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d{hours}h"
    if hours:
        return f"{hours}h{minutes}m"
    return f"{minutes}m{whole % 60}s" if minutes else f"{whole}s"


def table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


async def _add_cluster(report: Report, layout: Layout) -> None:
    try:
        access = read_context(layout.admin_kubeconfig).access
    except (KubeconfigError, OSError) as error:
        report.problems.append(f"the server has not made its kubeconfig: {error}")
        return
    client = Client(Https(access), ResourceTable(), user_agent="sagong-status")
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            nodes = [item.obj for item in (await client.list("nodes")).items]
            pods = [item.obj for item in (await client.list("pods")).items]
    except (ApiError, TimeoutError) as error:
        why = str(error) or f"nothing within {ANSWER_SECONDS_MAX:.0f} s"
        report.problems.append(
            f"the server does not answer, so nodes and pods are not known ({why}); "
            f"look at {layout.log_file('server')}"
        )
        return
    finally:
        await client.close()
    add_nodes(report, nodes, pods)
    add_pods(report, pods)


def add_nodes(report: Report, nodes: Sequence[Obj], pods: Sequence[Obj]) -> None:
    """A row for each node with what is wrong with it."""
    rows = [("NODE", "STATUS", "ADDRESS", "PODS")]
    for node in nodes:
        name, status = name_of(node), node.get("status") or {}
        faults = [*_node_faults(status)]
        count = sum(1 for pod in pods if (pod.get("spec") or {}).get("nodeName") == name)
        addresses = [a["address"] for a in status.get("addresses") or () if a["type"] != "Hostname"]
        words = ["NotReady" if any(f.startswith("not Ready") for f in faults) else "Ready"]
        if (node.get("spec") or {}).get("unschedulable"):
            words.append("SchedulingDisabled")
        rows.append((name, ",".join(words), ", ".join(addresses) or "-", str(count)))
        for fault in faults:
            report.problems.append(f"node {name} is {fault}; see `kubectl describe node {name}`")
    report.lines += ["", *table(rows)]
    if not nodes:
        report.problems.append("no node has joined; `sagong up` starts those of this machine")


def _node_faults(status: Obj) -> Iterator[str]:
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    ready = conditions.get("Ready")
    if ready is None or ready["status"] != "True":
        yield f"not Ready: {ready.get('message', '') if ready else 'it has said nothing yet'}"
    for kind in _PRESSURES:
        condition = conditions.get(kind)
        if condition is not None and condition["status"] == "True":
            yield f"under {kind}: {condition.get('message', '')}"


def add_pods(report: Report, pods: Sequence[Obj]) -> None:
    """How many pods are well; each that is not is a problem."""
    faults = [(pod, pod_fault(pod)) for pod in pods]
    ill = [(pod, fault) for pod, fault in faults if fault]
    report.lines += ["", f"{len(pods)} pods, {len(pods) - len(ill)} of them well"]
    for pod, fault in ill[:PODS_SHOWN_MAX]:
        where = f"-n {namespace_of(pod)} {name_of(pod)}"
        report.problems.append(
            f"pod {namespace_of(pod)}/{name_of(pod)}: {fault}; see `kubectl describe pod {where}`"
        )
    if len(ill) > PODS_SHOWN_MAX:
        report.problems.append(f"and {len(ill) - PODS_SHOWN_MAX} more pods: `kubectl get pods -A`")


def pod_fault(pod: Obj) -> str:
    """What is wrong with a pod; "" if it is well, has ended well or is on its way out."""
    status = pod.get("status") or {}
    phase = status.get("phase", "")
    if is_deleting(pod) or phase == "Succeeded":
        return ""
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return f"not scheduled: {scheduled.get('message', '')}"
    for container in (*(status.get("initContainerStatuses") or ()),
                      *(status.get("containerStatuses") or ())):  # fmt: skip
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason", "") not in ("", "ContainerCreating", "PodInitializing"):
            return f"{container['name']}: {waiting['reason']}: {waiting.get('message', '')}"
    if phase == "Failed":
        return f"Failed: {status.get('reason', '')} {status.get('message', '')}".rstrip(": ")
    ready = conditions.get("Ready") or {}
    return "" if ready.get("status") == "True" else f"not Ready ({phase})"
