"""Configuration files give flags their defaults; what they do not know is refused."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sagong.cli import options
from sagong.cli.main import VERBS, cli


@click.command()
@options.config_file({"dataDir": "data_dir", "labels": "labels"})
@click.option("--data-dir", default="here")
@click.option("--label", "labels", multiple=True)
def command(config: Path | None, data_dir: str, labels: Any) -> None:
    click.echo(f"{data_dir} {','.join(labels)}")


def run(tmp_path: Path, text: str, *flags: str) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return CliRunner().invoke(command, ["--config", str(path), *flags]).output


def test_file_gives_defaults_and_flags_win(tmp_path: Path) -> None:
    assert run(tmp_path, "dataDir: there\nlabels: {a: b}\n") == "there a=b\n"
    assert run(tmp_path, "dataDir: there\n", "--data-dir", "elsewhere") == "elsewhere \n"


@pytest.mark.parametrize("text", ["nope: 1\n", "a: [\n"])
def test_bad_files_are_refused(tmp_path: Path, text: str) -> None:
    assert "Invalid value" in run(tmp_path, text)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    result = CliRunner().invoke(cli, [verb, "--help"])
    assert result.exit_code == 0, result.output
