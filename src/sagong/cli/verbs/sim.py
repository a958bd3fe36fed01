"""``sagong sim``: simulated nodes beside a cluster, and rehearsals in virtual time."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import click

from sagong.cli import options

Span = tuple[float, float]
SHARE = click.FloatRange(0.0, 1.0)


class _Seconds(click.ParamType[Span]):
    """``2`` or ``1-3``: seconds, or from how many to how many."""

    name = "SECONDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Span:
        if isinstance(value, tuple):
            return value
        least, _, most = str(value).partition("-")
        try:
            span = float(least), float(most or least)
        except ValueError:
            self.fail(f"{value!r} is neither seconds nor a range of them such as 1-3", param, ctx)
        if not 0 <= span[0] <= span[1]:
            self.fail(f"{value!r} does not begin with the smaller number", param, ctx)
        return span


SECONDS = _Seconds()


@click.group()
def command() -> None:
    """Simulated nodes, and whole clusters in virtual time."""


@command.command()
@click.option("--count", default=10, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--prefix", default="sim-", show_default=True, help="How the nodes' names begin.")
@click.option("--cpu", default="32", show_default=True)
@click.option("--memory", default="128Gi", show_default=True)
@click.option("--pods", default="110", show_default=True, help="How many pods a node takes.")
@click.option("--start-seconds", type=SECONDS, default="1-3", help="From bound to running.")
@click.option("--ready-seconds", type=SECONDS, default="0-1", help="From running to ready.")
@click.option("--stop-seconds", type=SECONDS, default="0.5-2", help="From the signal to the end.")
@click.option("--crashes", type=SHARE, default=0.0, help="How many starts end in a crash (0..1).")
@click.option("--pull-failures", type=SHARE, default=0.0, help="How many image pulls fail (0..1).")
@click.option(
    "--seed", default=0, show_default=True, help="Decides what fails and how long it takes."
)
@options.kubeconfig
def nodes(
    kubeconfig: Path,
    start_seconds: Span,
    ready_seconds: Span,
    stop_seconds: Span,
    crashes: float,
    pull_failures: float,
    **fields: Any,
) -> None:
    """Stand in for so many nodes until interrupted. Pods on them seem to run; none does."""
    from sagong.client.kubeconfig import KubeconfigError, read_context
    from sagong.cmd.signals import until_stopped
    from sagong.cmd.sim import sim_nodes
    from sagong.sim.fleet import FleetConfig
    from sagong.sim.lives import Profile

    try:
        context = read_context(kubeconfig.expanduser())
    except (KubeconfigError, OSError) as error:
        raise click.ClickException(str(error)) from error
    profile = Profile(
        start_seconds, ready_seconds, stop_seconds, pull_fails=pull_failures, crashes=crashes
    )
    config = FleetConfig(profile=profile, **fields)
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

    for number in range(seed, seed + seeds):
        click.echo(play(number, nodes=node_count, replicas=replicas, troubles=troubles))


@command.command()
@click.option("--seed", default=0, show_default=True)
@click.option("--nodes", "node_count", default=10, show_default=True, type=click.IntRange(4))
@click.option("--hours", default=24.0, show_default=True)
@click.option(
    "--lease-seconds",
    default=40,
    show_default=True,
    type=click.IntRange(4),
    help="Of a node; its heartbeats come four times as often, and are most of the work.",
)
@click.option("--trace", "trace_file", type=click.File("w"), help="Record every change here.")
def day(
    seed: int, node_count: int, hours: float, lease_seconds: int, trace_file: IO[str] | None
) -> None:
    """Play a day of a cluster: nodes die, people change their minds, invariants are checked."""
    from sagong.cmd.sim import play_day
    from sagong.sim.day import DayConfig

    report = play_day(
        seed,
        node_count,
        DayConfig.for_nodes(node_count, hours),
        say=click.echo,
        record=trace_file.write if trace_file else None,
        lease_seconds=lease_seconds,
    )
    click.echo(f"what happened: {_counts(report.done)}")
    click.echo(f"changes: {_counts(report.changes)}")
    click.echo(
        f"seed {seed}: {node_count} nodes, {report.virtual_seconds / 3600:.1f} virtual hours,"
        f" {report.writes:,} writes, every one checked; trace {report.trace}"
    )


def _counts(counts: Mapping[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {count:,}" for name, count in ranked)
