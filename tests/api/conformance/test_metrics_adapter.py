"""An autoscaler's metrics come from an adapter: another API server behind an APIService."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from spaces import Space, condition, template

from sagong.cmd.server import Running

pytestmark = pytest.mark.asyncio(loop_scope="module")
GROUP = "external.metrics.k8s.io"


@contextlib.asynccontextmanager
async def adapter(server: Running, asked: list[Any]) -> AsyncIterator[int]:
    """Serves one metric; its port."""

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/waiting"):
            asked.append((request.headers["X-Remote-User"], request.query.get("labelSelector")))
            value = {"metricName": "waiting", "timestamp": "2026-01-01T00:00:00Z", "value": "12"}
            kind = {"kind": "ExternalMetricValueList", "apiVersion": f"{GROUP}/v1beta1"}
            return web.json_response(kind | {"metadata": {}, "items": [value]})
        resources = {"kind": "APIResourceList", "groupVersion": f"{GROUP}/v1beta1", "resources": []}
        return web.json_response(resources)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.pki.serving_chain_file, server.pki.key_file("apiserver"))
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module")
async def asked(server: Running, live: Space) -> AsyncIterator[list[Any]]:
    """What the adapter was asked: by whom, and for which labels."""
    found: list[Any] = []
    async with adapter(server, found) as port:
        name = {"type": "ExternalName", "externalName": "localhost"}
        await live.create("services", "adapter", spec=name)
        service = {"namespace": live.name, "name": "adapter", "port": port}
        spec = {"group": GROUP, "version": "v1beta1", "service": service,
                "insecureSkipTLSVerify": True, "groupPriorityMinimum": 100,
                "versionPriority": 100}  # fmt: skip
        path = "/apis/apiregistration.k8s.io/v1/apiservices"
        metadata = {"name": f"v1beta1.{GROUP}"}
        await live.ask("POST", path, {"metadata": metadata, "spec": spec})
        one = f"{path}/v1beta1.{GROUP}"
        await live.wait(one, lambda a: condition({"status": {}} | a, "Available") is not None)
        yield found
        await live.ask("DELETE", one)


async def test_a_deployment_grows_with_its_queue(live: Space, asked: list[Any]) -> None:
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template(a="b")}
    await live.create("apps/v1 deployments", "web", spec=spec)
    await live.wait("apps/v1 deployments/web", lambda d: d["status"].get("availableReplicas") == 1)
    metric = {
        "metric": {"name": "waiting", "selector": {"matchLabels": {"queue": "mail"}}},
        "target": {"type": "AverageValue", "averageValue": "5"},
    }
    scaler = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 0,
        "maxReplicas": 10,
        "metrics": [{"type": "External", "external": metric}],
    }
    await live.create("autoscaling/v2 horizontalpodautoscalers", "web", spec=scaler)
    await live.wait("apps/v1 deployments/web", lambda d: d["spec"]["replicas"] == 3)
    account = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
    assert asked[0] == (account, "queue=mail")
    found = await live.wait(
        "autoscaling/v2 horizontalpodautoscalers/web",
        lambda a: bool(a["status"].get("currentMetrics")),
    )
    shown = found["status"]["currentMetrics"][0]["external"]
    assert shown["current"] == {"averageValue": "12"}
    assert condition(found, "ScalingActive")["reason"] == "ValidMetricFound"
