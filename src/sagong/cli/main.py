"""The ``sagong`` command: one file a verb under ``verbs/``, imported only when it is called."""

import importlib
from collections.abc import Sequence

import click

# Verb -> its one-line help, so that ``sagong --help`` imports none of them.
VERBS = {
    "up": "Bring a cluster up on this machine.",
    "down": "Stop everything that `up` started.",
    "status": "What runs, where, since when; what is wrong and what to do.",
    "why": "Why a pod runs where it does, or waits.",
    "server": "Run the control plane: API server, controllers, scheduler.",
    "agent": "Run a node.",
    "token": "Tokens with which other machines join.",
    "image": "Images of the nodes' container runtimes.",
    "sim": "Simulated nodes, and whole clusters in virtual time.",
    "install": "Install the system packages or the systemd services.",
    "gateway-api": "Print the definitions of the Gateway API.",
    "version": "Print the version.",
}


class LazyVerbs(click.Group):
    """A command group whose commands are modules ``sagong.cli.verbs.<verb>`` with ``command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = f"sagong.cli.verbs.{cmd_name.replace('-', '_')}"
        command = importlib.import_module(module).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=LazyVerbs, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Kubernetes in Python: the same API, the same clients, a tenth of the weight."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point of the ``sagong`` program."""
    cli.main(args=arguments, prog_name="sagong")


if __name__ == "__main__":
    main()
