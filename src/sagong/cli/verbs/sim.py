"""``sagong sim``: simulated nodes beside a cluster, and rehearsals in virtual time."""

import asyncio
import os
import sys
from pathlib import Path

import click

from sagong.cli import options


@click.group()
def command() -> None:
    """Simulated nodes, and whole clusters in virtual time."""


@command.command()
@click.option("--count", default=10, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--prefix", default="sim-", show_default=True, help="How the nodes' names begin.")
@click.option("--cpu", default="32", show_default=True)
@click.option("--memory", default="128Gi", show_default=True)
@click.option("--pods", default="110", show_default=True, help="How many pods a node takes.")
@options.kubeconfig
def nodes(count: int, prefix: str, cpu: str, memory: str, pods: str, kubeconfig: Path) -> None:
    """Stand in for so many nodes until interrupted. Pods on them seem to run; none does."""
    from sagong.client.kubeconfig import KubeconfigError, read_context
    from sagong.cmd.signals import until_stopped
    from sagong.cmd.sim import sim_nodes
    from sagong.sim.fleet import FleetConfig

    try:
        context = read_context(kubeconfig.expanduser())
    except (KubeconfigError, OSError) as error:
        raise click.ClickException(str(error)) from error
    config = FleetConfig(count, prefix=prefix, cpu=cpu, memory=memory, pods=pods)
    asyncio.run(until_stopped(sim_nodes(context, config, click.echo)))


@command.command()
@click.option("--seed", default=0, show_default=True, help="The first seed.")
@click.option("--seeds", default=1, show_default=True, help="How many, one after another.")
@click.option("--nodes", "node_count", default=10, show_default=True)
@click.option("--replicas", default=20, show_default=True)
@click.option("--troubles", default=5, show_default=True, help="How often something dies.")
def rehearse(seed: int, seeds: int, node_count: int, replicas: int, troubles: int) -> None:
    """Roll a Deployment out while server, controllers and network fail; the seed decides how."""
    from sagong.cmd.sim import rehearse as play

    if "PYTHONHASHSEED" not in os.environ:
        # The order of sets follows it: without it a seed does not repeat its run.
        os.execve(sys.executable, [sys.executable, "-m", "sagong", *sys.argv[1:]], _fixed())
    for number in range(seed, seed + seeds):
        click.echo(play(number, nodes=node_count, replicas=replicas, troubles=troubles))


def _fixed() -> dict[str, str]:
    return {**os.environ, "PYTHONHASHSEED": "0"}
