"""Options that several verbs have."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

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


def config_file(keys: Mapping[str, str]) -> Callable[[Any], Any]:
    """The option ``--config FILE``: a YAML file whose values are the flags' defaults.

    ``keys`` maps names in the file (camelCase, as in Kubernetes' own files) to parameters. A
    mapping in the file becomes the KEY=VALUE list that a repeatable flag takes.
    """

    def read(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
        if path is None:
            return None
        try:
            values: Any = yaml.safe_load(path.read_text()) or {}
        except (OSError, yaml.YAMLError) as error:
            raise click.BadParameter(f"{path}: {error}") from error
        unknown = sorted(set(values) - set(keys))
        if unknown:
            known = ", ".join(keys)
            raise click.BadParameter(f"{path}: unknown {', '.join(unknown)}; known are {known}")
        ctx.default_map = {keys[key]: _as_flag(value) for key, value in values.items()}
        return path

    return click.option(
        "--config",
        type=click.Path(path_type=Path, exists=True),
        callback=read,
        is_eager=True,
        help=f"A YAML file with these settings ({', '.join(list(keys)[:3])}, ...).",
    )


def _as_flag(value: Any) -> Any:
    if isinstance(value, dict):
        return [f"{k}={v}" for k, v in value.items()]
    return value
