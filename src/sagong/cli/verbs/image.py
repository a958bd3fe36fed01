"""``sagong image``: images for every node of this machine, without a registry."""

import asyncio
from pathlib import Path

import click

from sagong.cli import options
from sagong.local.images import import_archive
from sagong.local.layout import ClusterDescription


@click.group()
def command() -> None:
    """Images of the nodes' container runtimes."""


@command.command("import")
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@options.data_dir
@options.run_dir
def import_(archive: Path, data_dir: Path, run_dir: Path) -> None:
    """Load an image archive (docker save, OCI layout in a tar) into every node's runtime."""
    layout = options.layout(data_dir, run_dir)
    description = ClusterDescription.read(layout.description_file)
    if description is None:
        raise click.ClickException("there is no cluster here; run `sagong up` first")

    async def run() -> None:
        sockets = [layout.node_run_dir(n) / "containerd.sock" for n in description.nodes]
        await asyncio.gather(*(import_archive(socket, archive) for socket in sockets))

    try:
        asyncio.run(run())
    except RuntimeError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"imported {archive} on {', '.join(description.nodes)}")
