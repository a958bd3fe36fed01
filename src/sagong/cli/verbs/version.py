"""``sagong version``: what this is, and which Kubernetes it serves."""

import click

from sagong import KUBERNETES_VERSION, __version__


@click.command()
def command() -> None:
    """Print the version."""
    click.echo(f"sagong {__version__} (Kubernetes {KUBERNETES_VERSION})")
