"""Webhooks that know users and permissions: asked, remembered, bypassed, failing."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from rest import CONFIG_MAPS, TOKENS, Api

from sagong.cmd.access_files import AccessFiles
from sagong.cmd.server import ServerConfig, serving
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds
from sagong.server.http.tls import server_context
from sagong.server.pki.directory import Pki, ensure_pki

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@dataclass
class Webhook:
    """Knows the token "known" and lets ann read config maps; remembers what it was asked."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    fails: bool = False
    url: str = ""

    @contextlib.asynccontextmanager
    async def running(self, pki: Pki) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        tls = server_context(
            certificate=pki.serving_chain_file, key=pki.key_file("apiserver"), client_ca=pki.ca_file
        )
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.url = f"https://127.0.0.1:{runner.addresses[0][1]}/"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        review = await request.json()
        assert request.headers["Authorization"] == "Bearer ours"
        self.asked.append(review)
        if self.fails:
            return web.Response(status=403)
        answer = self._token if review["kind"] == "TokenReview" else self._access
        return web.json_response({**review, "status": answer(review["spec"])})

    def _token(self, spec: dict[str, Any]) -> dict[str, Any]:
        if spec["token"] != "known":
            return {"authenticated": False}
        return {"authenticated": True, "user": {"username": "ann", "groups": ["staff"]}}

    def _access(self, spec: dict[str, Any]) -> dict[str, Any]:
        resource = spec.get("resourceAttributes", {})
        if resource.get("resource") == "secrets":
            return {"allowed": False, "denied": True, "reason": "secrets are secret"}
        allowed = resource.get("verb") in ("get", "list") and resource["resource"] == "configmaps"
        return {"allowed": allowed, "reason": "the company says so"}

    def kinds(self) -> list[str]:
        return [review["kind"] for review in self.asked]


@dataclass
class Guarded:
    webhook: Webhook
    api: Api


def write_files(directory: Path, webhook: Webhook, pki: Pki) -> AccessFiles:
    kubeconfig = {
        "clusters": [
            {
                "name": "w",
                "cluster": {"server": webhook.url, "certificate-authority": str(pki.ca_file)},
            }
        ],
        "users": [{"name": "u", "user": {"token": "ours"}}],
        "contexts": [{"name": "c", "context": {"cluster": "w", "user": "u"}}],
        "current-context": "c",
    }
    (directory / "webhook.kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    authorization = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthorizationConfiguration",
        "authorizers": [
            {
                "type": "Webhook",
                "name": "company",
                "webhook": {
                    "timeout": "3s",
                    "subjectAccessReviewVersion": "v1",
                    "failurePolicy": "NoOpinion",
                    "connectionInfo": {
                        "type": "KubeConfigFile",
                        "kubeConfigFile": "webhook.kubeconfig",
                    },
                    "matchConditions": [{"expression": "request.user == 'ann'"}],
                },
            },
            {"type": "RBAC", "name": "rbac"},
        ],
    }
    (directory / "authorization.json").write_text(json.dumps(authorization))
    return AccessFiles(
        authentication_token_webhook_config_file=directory / "webhook.kubeconfig",
        authorization_config=directory / "authorization.json",
    )


@pytest.fixture
async def guarded(data_dir: Path, tmp_path: Path) -> AsyncIterator[Guarded]:
    clock, webhook = SystemClock(), Webhook()
    (data_dir / "tokens.csv").write_text(TOKENS)
    pki = ensure_pki(data_dir / "pki", clock=clock, service_address="10.96.0.1", addresses=[])
    async with webhook.running(pki):
        config = ServerConfig(
            data_dir,
            port=0,
            store="memory",
            token_auth_file=data_dir / "tokens.csv",
            access=write_files(tmp_path, webhook, pki),
        )
        async with (
            serving(config, clock=clock, ids=SystemIds()) as server,
            aiohttp.ClientSession() as session,
        ):
            yield Guarded(webhook, Api(session, server.url))


async def test_a_token_is_asked_about_once(guarded: Guarded) -> None:
    for _ in range(3):
        answer = await guarded.api.call("POST", REVIEWS, {}, token="known")
        user = answer.body["status"]["userInfo"]
        assert (user["username"], user["groups"]) == ("ann", ["staff", "system:authenticated"])
    assert guarded.webhook.kinds().count("TokenReview") == 1
    answer = await guarded.api.call("POST", REVIEWS, {}, token="unknown")
    assert answer.status == 401


async def test_a_webhook_allows_denies_and_leaves_the_rest_to_others(guarded: Guarded) -> None:
    api = guarded.api
    assert (await api.call("GET", CONFIG_MAPS, token="known")).status == 200
    answer = await api.call("GET", CONFIG_MAPS.replace("configmaps", "secrets"), token="known")
    assert (answer.status, "secrets are secret" in answer.body["message"]) == (403, True)
    answer = await api.call("POST", CONFIG_MAPS, {"metadata": {"name": "a"}}, token="known")
    assert answer.status == 403
    spec = guarded.webhook.asked[-1]["spec"]
    assert (spec["user"], spec["groups"]) == ("ann", ["staff", "system:authenticated"])
    assert spec["resourceAttributes"] == {
        "namespace": "default",
        "verb": "create",
        "version": "v1",
        "resource": "configmaps",
    }


async def test_conditions_keep_other_users_from_it(guarded: Guarded) -> None:
    assert (await guarded.api.call("GET", CONFIG_MAPS, token="dev-token")).status == 403
    assert (await guarded.api.call("GET", CONFIG_MAPS)).status == 200  # an administrator
    assert "SubjectAccessReview" not in guarded.webhook.kinds()


async def test_a_webhook_that_fails_has_no_opinion(guarded: Guarded) -> None:
    await guarded.api.call("POST", REVIEWS, {}, token="known")
    guarded.webhook.fails = True
    answer = await guarded.api.call("GET", f"{CONFIG_MAPS}/a", token="known")
    assert answer.status == 403
    answer = await guarded.api.call("POST", REVIEWS, {}, token="another")
    assert answer.status == 401
