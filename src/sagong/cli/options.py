"""Options that several verbs have."""

import os
from pathlib import Path

import click

from sagong.local.layout import DEFAULT_DATA_DIR, DEFAULT_RUN_DIR, Layout


def default_kubeconfig() -> Path:
    """Where kubectl looks: the first file of KUBECONFIG, else ~/.kube/config."""
    first = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(first) if first else Path.home() / ".kube" / "config"


data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="Where the cluster keeps its state.",
)
run_dir = click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    default=DEFAULT_RUN_DIR,
    show_default=True,
    help="Where it keeps sockets and pid files.",
)
kubeconfig = click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    default=default_kubeconfig,
    help="The kubeconfig to write to or read [default: $KUBECONFIG or ~/.kube/config].",
)


def layout(data: Path, run: Path) -> Layout:
    return Layout(data.resolve(), run.resolve())
