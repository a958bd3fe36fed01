"""``sagong gateway-api``: the definitions of the Gateway API, for ``kubectl apply``."""

import click
import yaml

from sagong.api.gateway_definitions import definitions


@click.command()
def command() -> None:
    """Print the Gateway API's definitions.

    Use it as: sagong gateway-api | kubectl apply -f - ; the class of the nodes' own proxies,
    "sagong", comes by itself.
    """
    click.echo(yaml.safe_dump_all(definitions(), sort_keys=False), nl=False)
