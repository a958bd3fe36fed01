"""Users of an OpenID Connect issuer: discovery, rotation of keys, mappings, refusals."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from rest import Api

from sagong.cmd.access_files import AccessFiles
from sagong.cmd.server import ServerConfig, serving
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds
from sagong.server.http.tls import server_context
from sagong.server.pki.directory import Pki, ensure_pki

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
FAR = 4_000_000_000


@dataclass
class Issuer:
    """An issuer over HTTPS with the server's own certificate."""

    keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)
    url: str = ""

    def token(self, key_id: str = "one", key: Any = None, **claims: Any) -> str:
        whole = {"iss": self.url, "aud": "sagong", "exp": FAR, "sub": "123", **claims}
        signer = key or self.keys[key_id]
        return jwt.encode(whole, signer, algorithm="RS256", headers={"kid": key_id})

    def add_key(self, key_id: str) -> None:
        self.keys[key_id] = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @contextlib.asynccontextmanager
    async def running(self, pki: Pki) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/keys", self._keys)
        runner = web.AppRunner(app)
        await runner.setup()
        tls = server_context(
            certificate=pki.serving_chain_file,
            key=pki.key_file("apiserver"),
            client_ca=pki.ca_file,
        )
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        self.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _discovery(self, _: web.Request) -> web.Response:
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    async def _keys(self, _: web.Request) -> web.Response:
        listed = []
        for key_id, key in self.keys.items():
            text = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())
            listed.append({**json.loads(text), "kid": key_id, "use": "sig"})
        return web.json_response({"keys": listed})


class Later(SystemClock):
    """The system's clock, or some seconds ahead of it."""

    seconds = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.seconds


@dataclass
class Known:
    clock: Later
    issuer: Issuer
    api: Api

    async def user(self, token: str) -> tuple[int, dict[str, Any]]:
        """What the server takes a token's bearer for."""
        answer = await self.api.call("POST", REVIEWS, {}, token=token)
        return answer.status, answer.body["status"]["userInfo"] if answer.status == 201 else {}


def configuration(issuer: Issuer, pki: Pki) -> dict[str, Any]:
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {"enabled": True, "conditions": [{"path": "/livez"}]},
        "jwt": [
            {
                "issuer": {
                    "url": issuer.url,
                    "audiences": ["sagong", "other"],
                    "audienceMatchPolicy": "MatchAny",
                    "certificateAuthority": pki.ca_file.read_text(),
                },
                "claimValidationRules": [
                    {"expression": "!has(claims.hd) || claims.hd == 'example.com'",
                     "message": "of another company"}
                ],
                "claimMappings": {
                    "username": {"expression": "'oidc:' + claims.sub"},
                    "groups": {"claim": "roles", "prefix": "oidc:"},
                    "uid": {"claim": "sub"},
                    "extra": [{"key": "example.com/tenant", "valueExpression": "claims.tenant"}],
                },
                "userValidationRules": [
                    {"expression": "!user.groups.exists(g, g == 'oidc:banned')",
                     "message": "banned"}
                ],
            }
        ],
    }  # fmt: skip


@pytest.fixture
async def known(data_dir: Path, tmp_path: Path) -> AsyncIterator[Known]:
    clock = Later()
    pki = ensure_pki(data_dir / "pki", clock=clock, service_address="10.96.0.1", addresses=[])
    issuer = Issuer()
    issuer.add_key("one")
    async with issuer.running(pki):
        path = tmp_path / "authentication.json"
        path.write_text(json.dumps(configuration(issuer, pki)))
        config = ServerConfig(data_dir, port=0, store="memory", access=AccessFiles(path))
        async with (
            serving(config, clock=clock, ids=SystemIds()) as server,
            aiohttp.ClientSession() as session,
        ):
            yield Known(clock, issuer, Api(session, server.url))


async def test_claims_become_a_user(known: Known) -> None:
    status, user = await known.user(known.issuer.token(roles=["dev", "ops"], tenant="t1"))
    assert status == 201
    assert user["username"] == "oidc:123"
    assert user["uid"] == "123"
    assert user["groups"] == ["oidc:dev", "oidc:ops", "system:authenticated"]
    assert user["extra"]["example.com/tenant"] == ["t1"]


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_000},
        {"nbf": FAR - 1},
        {"aud": "elsewhere"},
        {"hd": "example.org", "tenant": "t"},
        {"roles": "banned", "tenant": "t"},
        {"roles": [1], "tenant": "t"},
        {},  # no tenant: the expression fails
        {"tenant": "t", "iss": "https://elsewhere.example.com"},
    ],
)
async def test_what_does_not_hold_is_refused(known: Known, claims: dict[str, Any]) -> None:
    status, _ = await known.user(known.issuer.token(**claims))
    assert status == 401


async def test_forged_tokens_are_refused(known: Known) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    status, _ = await known.user(known.issuer.token(key=other, tenant="t"))
    assert status == 401
    whole = {"iss": known.issuer.url, "aud": "sagong", "exp": FAR, "sub": "1", "tenant": "t"}
    for unsigned in (
        jwt.encode(whole, None, algorithm="none"),
        jwt.encode(whole, "secret" * 10, algorithm="HS256", headers={"kid": "one"}),
    ):
        status, _ = await known.user(unsigned)
        assert status == 401


async def test_keys_change_while_the_server_runs(known: Known) -> None:
    assert (await known.user(known.issuer.token(tenant="t")))[0] == 201
    known.issuer.add_key("two")
    # Not at once: somebody who invents key ids must not make the server ask again and again.
    assert (await known.user(known.issuer.token("two", tenant="t")))[0] == 401
    known.clock.seconds += 11
    assert (await known.user(known.issuer.token("two", tenant="t")))[0] == 201


async def test_nobody_is_let_in_to_the_named_paths_only(known: Known) -> None:
    assert (await known.api.call("GET", "/livez", token="")).status == 200
    assert (await known.api.call("GET", "/readyz", token="")).status == 401
