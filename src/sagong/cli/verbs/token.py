"""``sagong token``: what another machine needs in order to join."""

import asyncio
import hashlib
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sagong.api.errors import ApiError
from sagong.cli import options
from sagong.client.client import Client
from sagong.client.kubeconfig import Context, KubeconfigError, read_context
from sagong.core.clock import SystemClock


@click.group()
def command() -> None:
    """Tokens with which other machines join."""


@command.command()
@click.option("--hours", default=24.0, show_default=True, help="How long the token is good for.")
@click.option("--description", default="", help="For whom it is.")
@options.kubeconfig
def create(hours: float, description: str, kubeconfig: Path) -> None:
    """Make a token and print the command that joins a machine with it."""
    from sagong.cmd.tokens import create_token

    async def run(context: Context) -> str:
        async with connected(context) as client:
            return await create_token(client, SystemClock(), description=description, hours=hours)

    context = _context(kubeconfig)
    try:
        token = asyncio.run(run(context))
    except (ApiError, OSError) as error:
        raise click.ClickException(f"{context.access.server}: {error}") from error
    pin = ca_hash(context.access.ca or b"")
    click.echo(f"sagong agent --join {context.access.server} --token {token} --ca-cert-hash {pin}")


@command.command("list")
@options.kubeconfig
def list_(kubeconfig: Path) -> None:
    """Show the tokens that there are (their ids, never their secrets)."""

    async def run(context: Context) -> list[str]:
        async with connected(context) as client:
            listing = await client.list(
                "secrets",
                namespace="kube-system",
                field_selector="type=bootstrap.kubernetes.io/token",
            )
        return [
            item.obj["metadata"]["name"].removeprefix("bootstrap-token-") for item in listing.items
        ]

    context = _context(kubeconfig)
    try:
        for token_id in asyncio.run(run(context)):
            click.echo(token_id)
    except (ApiError, OSError) as error:
        raise click.ClickException(f"{context.access.server}: {error}") from error


def connected(context: Context) -> "_Connected":
    return _Connected(context)


class _Connected:
    """A client that is closed when the block is left."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def __aenter__(self) -> Client:
        from sagong.api.resources import ResourceTable
        from sagong.client.https import Https

        self._client = Client(Https(self._context.access), ResourceTable())
        return self._client

    async def __aexit__(self, *details: object) -> None:
        await self._client.close()


def _context(kubeconfig: Path) -> Context:
    try:
        return read_context(kubeconfig.expanduser())
    except (KubeconfigError, OSError) as error:
        raise click.ClickException(
            f"{error}; is a cluster up? Name its kubeconfig with --kubeconfig"
        ) from error


def ca_hash(ca_pem: bytes) -> str:
    """kubeadm's pin of a CA: the SHA-256 of its public key."""
    public = x509.load_pem_x509_certificate(ca_pem).public_key()
    data = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + hashlib.sha256(data).hexdigest()
