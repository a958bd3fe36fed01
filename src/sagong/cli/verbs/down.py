"""``sagong down``: the opposite of ``sagong up``; leaves nothing running."""

import asyncio
from pathlib import Path

import click

from sagong.cli import options


@click.command()
@click.option("--purge", is_flag=True, help="Remove all state as well: volumes, images, the store.")
@options.kubeconfig
@options.data_dir
@options.run_dir
def command(purge: bool, kubeconfig: Path, data_dir: Path, run_dir: Path) -> None:
    """Stop everything that `sagong up` started.

    Without --purge the state stays, and the next `sagong up` goes on from there.
    """
    from sagong.cmd.up import down

    layout = options.layout(data_dir, run_dir)
    asyncio.run(down(layout, purge=purge, kubeconfig=kubeconfig.expanduser(), say=click.echo))
    click.echo("everything is stopped" + (" and removed" if purge else ""))
