"""Secrets at rest, through a whole server: encrypted on disk, readable after a restart."""

import base64
from pathlib import Path

import aiohttp
import yaml
from rest import TOKENS, Api

from sagong.cmd.server import ServerConfig, serving
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds

SECRETS = "/api/v1/namespaces/default/secrets"


def provider(name: str, fill: str) -> dict:
    key = {"name": name, "secret": base64.b64encode(fill.encode() * 32).decode()}
    return {"aesgcm": {"keys": [key]}}


async def life(config: ServerConfig, *, create: bool) -> str:
    """One life of a server, in which the secret is made or read."""
    async with (
        serving(config, clock=SystemClock(), ids=SystemIds()) as server,
        aiohttp.ClientSession() as session,
    ):
        api = Api(session, server.url)
        if create:
            body = {"metadata": {"name": "s"}, "stringData": {"p": "very-hidden-word"}}
            assert (await api.call("POST", SECRETS, body)).status == 201
        found = await api.call("GET", f"{SECRETS}/s")
        return base64.b64decode(found.body["data"]["p"]).decode()


def on_disk(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.glob("state.db*"))


async def test_a_secret_is_not_on_disk(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "tokens.csv").write_text(TOKENS)
    path = tmp_path / "encryption.yaml"
    config = ServerConfig(
        tmp_path / "data",
        port=0,
        token_auth_file=data_dir / "tokens.csv",
        encryption_provider_config=path,
    )

    def use(*providers: dict) -> None:
        kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
        entry = {"resources": ["secrets"], "providers": list(providers)}
        path.write_text(yaml.safe_dump({**kind, "resources": [entry]}))

    use(provider("one", "a"), {"identity": {}})
    assert await life(config, create=True) == "very-hidden-word"
    kept = on_disk(tmp_path / "data")
    assert b"k8s:enc:aesgcm:v1:one:" in kept
    encoded = base64.b64encode(b"very-hidden-word")
    assert encoded not in kept
    use(provider("two", "b"), provider("one", "a"))
    assert await life(config, create=False) == "very-hidden-word"
    assert b"k8s:enc:aesgcm:v1:two:" in on_disk(tmp_path / "data")
