"""``sagong up``: a cluster on this machine, ready to use when the command returns."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import click

from sagong.cli import options
from sagong.local import preflight, processes
from sagong.local.layout import Layout


@click.command()
@click.option("--nodes", default=1, show_default=True, type=click.IntRange(0, 50))
@click.option(
    "--simulated",
    default=0,
    type=click.IntRange(0, 10_000),
    help="So many nodes more that only pretend, in one process; no container runs on them.",
)
@click.option(
    "--simulated-flag",
    multiple=True,
    metavar="KEY=VALUE",
    help="A flag of `sagong sim nodes` for them, such as crashes=0.05; may be given again.",
)
@click.option("--port", default=6443, show_default=True, help="Where the API server listens.")
@click.option(
    "--node-grace-seconds",
    type=click.FloatRange(min=15.0),
    help="After how much silence a node is NotReady [default: the server's, 50].",
)
@click.option(
    "--scheduler-config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Profiles, plugins and extenders of the scheduler (KubeSchedulerConfiguration).",
)
@click.option(
    "--node-prefix",
    default="node",
    show_default=True,
    help="What several nodes are called before their number.",
)
@click.option(
    "--ip-family",
    type=click.Choice(["ipv4", "ipv6", "dual"]),
    default="ipv4",
    show_default=True,
    help="Address families of nodes, pods and services; dual is IPv4 with IPv6 beside it.",
)
@options.kubeconfig
@options.data_dir
@options.run_dir
def command(
    nodes: int,
    simulated: int,
    simulated_flag: tuple[str, ...],
    port: int,
    kubeconfig: Path,
    **places: Any,
) -> None:
    """Bring a cluster up on this machine.

    One node is this machine itself; of several, each gets a network namespace and a containerd of
    its own. Run it again to bring back whatever is not running.
    """
    from sagong.cmd.ip_families import IpFamily
    from sagong.cmd.up import UpConfig, UpError, up

    layout = options.layout(places["data_dir"], places["run_dir"])
    if not nodes and not simulated:
        raise click.BadParameter("--nodes 0 needs --simulated")
    check(layout, port, nodes=nodes)
    flags = _server_flags(places["node_grace_seconds"], places["scheduler_config"])
    pretending = [part for flag in simulated_flag for part in _flag(flag)]
    config = UpConfig(
        layout,
        nodes,
        port,
        kubeconfig.expanduser(),
        flags,
        simulated,
        pretending,
        node_prefix=places["node_prefix"],
        ip_family=IpFamily(places["ip_family"]),
    )
    try:
        asyncio.run(up(config, click.echo))
    except UpError as error:
        raise click.ClickException(str(error)) from error
    pretend = f" and {simulated} simulated" if simulated else ""
    click.echo(f"{nodes} node(s){pretend} Ready. Try:")
    if shutil.which("kubectl") is None:
        click.echo("  (kubectl is not installed: https://kubernetes.io/docs/tasks/tools/)")
    click.echo("  kubectl get nodes -o wide")
    click.echo("  kubectl create deployment web --image=sagong.local/busybox:1 -- httpd -f -p 80")
    click.echo("  sagong status")


def _server_flags(grace_seconds: float | None, scheduler_config: Path | None) -> list[str]:
    flags = [] if grace_seconds is None else ["--node-grace-seconds", str(grace_seconds)]
    if scheduler_config is not None:
        # The server may run elsewhere than where the path was given.
        flags += ["--scheduler-config", str(scheduler_config.resolve())]
    return flags


def _flag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE")
    return f"--{key}", value


def check(layout: Layout, port: int, *, nodes: int = 1) -> None:
    """Say each lack in a line; exits with 1 if there is any."""
    checks = preflight.check_node() if nodes else []
    if processes.read_pid_file(layout.pid_file("server")) is None:
        checks.append(preflight.check_port("0.0.0.0", port))
    lacks = preflight.unmet(checks)
    for lack in lacks:
        click.echo(lack.line(), err=True)
    if lacks:
        raise click.exceptions.Exit(1)
