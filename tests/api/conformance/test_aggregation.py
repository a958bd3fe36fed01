"""Groups that an extension API server serves, through this one, as conformance tries them."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from extension import API_VERSION, BASE, GROUP, Extension, api_service, extension_server
from hooks import Keys, keys, own_address
from rest import Api, Kubectl

from sagong.cmd.server import Running

pytestmark = pytest.mark.asyncio(loop_scope="module")
MERGE = {"Content-Type": "application/merge-patch+json"}
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
FLUNDERS = f"{BASE}/namespaces/default/flunders"
CONFIG = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
NAME = f"v1alpha1.{GROUP}"
_RBAC = "rbac.authorization.k8s.io"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def found_keys(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """The extension's certificate; it believes whom the cluster's ConfigMap says."""
    directory = tmp_path_factory.mktemp("extension")
    found = keys(directory)
    data = (await api.call("GET", CONFIG)).body["data"]
    ca = data["requestheader-client-ca-file"]
    found.context.load_verify_locations(cadata=ca)
    found.context.verify_mode = ssl.CERT_REQUIRED
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def extension(found_keys: Keys, api: Api) -> AsyncIterator[Extension]:
    """Registered and available."""
    async with extension_server(found_keys.context, host="0.0.0.0") as running:
        await make(api, "/api/v1/namespaces", {"metadata": {"name": "try"}})
        spec = {"type": "ExternalName", "externalName": "localhost"}
        service = {"metadata": {"name": "extension"}, "spec": spec}
        await make(api, "/api/v1/namespaces/try/services", service)
        ref = {"namespace": "try", "name": "extension", "port": running.port}
        await make(api, API_SERVICES, api_service(NAME, ref, caBundle=found_keys.ca_bundle))
        await wait_for(api, NAME, "Passed")
        running.seen.clear()
        yield running


async def make(api: Api, path: str, obj: Any) -> Any:
    answer = await api.call("POST", path, obj)
    assert answer.status == 201, answer.text
    return answer.body


async def wait_for(api: Api, name: str, reason: str) -> dict[str, Any]:
    """The Available condition once it has a reason."""
    found: Any = None
    async with asyncio.timeout(20):
        while True:
            obj = (await api.call("GET", f"{API_SERVICES}/{name}")).body
            for found in obj.get("status", {}).get("conditions", []):
                if found["reason"] == reason:
                    return dict(found)
            await asyncio.sleep(0.05)


async def test_objects_of_an_extension_live(api: Api, extension: Extension) -> None:
    body = {"metadata": {"name": "one"}, "spec": {"reference": "x"}}
    made = await api.call("POST", FLUNDERS, body)
    assert made.status == 201
    assert (made.body["kind"], made.body["metadata"]["namespace"]) == ("Flunder", "default")
    assert [o["metadata"]["name"] for o in (await api.call("GET", FLUNDERS)).body["items"]] == [
        "one"
    ]
    path = f"{FLUNDERS}/one"
    changed = await api.call("PATCH", path, {"spec": {"reference": "y"}}, headers=MERGE)
    assert changed.body["spec"] == {"reference": "y"}
    assert (await api.call("PUT", path, changed.body)).status == 200
    assert (await api.call("DELETE", path)).status == 200
    gone = await api.call("GET", path)
    assert (gone.status, gone.body["reason"]) == (404, "NotFound")
    await api.call("POST", FLUNDERS, body)
    assert (await api.call("DELETE", FLUNDERS)).status == 200
    assert (await api.call("GET", f"{BASE}/flunders")).body["items"] == []
    called = [(seen["method"], seen["path"]) for seen in extension.seen]
    assert ("POST", FLUNDERS) in called


async def test_the_extension_is_told_who_asks(api: Api, extension: Extension) -> None:
    extension.seen.clear()
    forged = {"X-Remote-User": "root", "X-Remote-Group": "system:masters"}
    acting = {
        "Impersonate-User": "jane",
        "Impersonate-Group": "system:masters",
        "Impersonate-Extra-example.com%2fReason": "why",
    }
    await api.call("GET", f"{FLUNDERS}?limit=7", headers={**forged, **acting})
    (seen,) = extension.seen
    assert seen["path"] == f"{FLUNDERS}?limit=7"
    assert seen["user"] == "jane"
    assert sorted(seen["groups"]) == ["system:authenticated", "system:masters"]
    assert seen["extra"] == {"X-Remote-Extra-example.com%2Freason": "why"}
    assert seen["authorization"] is None
    assert seen["certificate"] == "front-proxy-client"


async def test_requests_are_authorised_here_first(api: Api, extension: Extension) -> None:
    extension.seen.clear()
    refused = await api.call("GET", FLUNDERS, token="dev-token")
    assert refused.status == 403
    assert refused.body["message"] == (
        f'flunders.{GROUP} is forbidden: User "dev" cannot list resource "flunders" in API group '
        f'"{GROUP}" in the namespace "default"'
    )
    assert extension.seen == []


async def test_watches_go_on(api: Api, extension: Extension) -> None:
    headers = {"Authorization": "Bearer admin-token"}
    url = f"{api.url}{FLUNDERS}?watch=1"
    async with asyncio.timeout(15):
        async with api.session.get(url, headers=headers, ssl=False) as response:
            assert response.status == 200
            for name in ("a", "b"):
                await api.call("POST", FLUNDERS, {"metadata": {"name": name}})
                event = json.loads(await response.content.readline())
                assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", name)
    await api.call("DELETE", FLUNDERS)


async def test_a_watch_gives_its_seat_back(api: Api, extension: Extension) -> None:
    """Fairness counts a watch only until it has begun, also that of an extension."""
    binding: Any = {
        "metadata": {"name": "dev-watches"},
        "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": "dev"}],
    }
    binding["roleRef"]["apiGroup"] = binding["subjects"][0]["apiGroup"] = _RBAC
    await make(api, f"/apis/{_RBAC}/v1/clusterrolebindings", binding)
    url = f"{api.url}{FLUNDERS}?watch=1"
    headers = {"Authorization": "Bearer dev-token"}
    async with api.session.get(url, headers=headers, ssl=False) as response:
        assert response.status == 200
        taken = [
            float(line.rpartition(" ")[2])
            for line in (await api.call("GET", "/metrics")).text.splitlines()
            if line.startswith("apiserver_flowcontrol_current_executing_seats{")
        ]
        assert taken
        assert sum(taken) == 0
    await api.call("DELETE", f"/apis/{_RBAC}/v1/clusterrolebindings/dev-watches")


async def test_upgrades_are_passed_on(api: Api, extension: Extension) -> None:
    headers = {"Authorization": "Bearer admin-token"}
    url = f"{api.url}{FLUNDERS}/x/connect"
    async with api.session.ws_connect(url, headers=headers, ssl=False) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str(timeout=10) == "admin: hello"


async def test_discovery_is_merged(api: Api, extension: Extension) -> None:
    groups = (await api.call("GET", "/apis")).body["groups"]
    (group,) = [g for g in groups if g["name"] == GROUP]
    assert group["preferredVersion"] == {"groupVersion": API_VERSION, "version": "v1alpha1"}
    alone = (await api.call("GET", f"/apis/{GROUP}")).body
    assert {k: alone[k] for k in group} == group
    listing = (await api.call("GET", BASE)).body
    assert [r["name"] for r in listing["resources"]] == ["flunders", "flunders/status"]
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    items = (await api.call("GET", "/apis", headers=accept)).body["items"]
    (found,) = [item for item in items if item["metadata"]["name"] == GROUP]
    (version,) = found["versions"]
    assert version["freshness"] == "Current"
    (resource,) = version["resources"]
    assert resource["responseKind"] == {"group": GROUP, "version": "v1alpha1", "kind": "Flunder"}
    assert (resource["scope"], resource["shortNames"]) == ("Namespaced", ["fl"])
    assert [s["subresource"] for s in resource["subresources"]] == ["status"]


async def test_priorities_order_groups(api: Api, extension: Extension) -> None:
    async def rank() -> int:
        names = [g["name"] for g in (await api.call("GET", "/apis")).body["groups"]]
        assert names[0] == "apiregistration.k8s.io"
        return names.index(GROUP) - names.index("apps")

    path = f"{API_SERVICES}/{NAME}"
    assert await rank() > 0
    await api.call("PATCH", path, {"spec": {"groupPriorityMinimum": 19000}}, headers=MERGE)
    assert await rank() < 0
    await api.call("PATCH", path, {"spec": {"groupPriorityMinimum": 2000}}, headers=MERGE)


async def test_schemas_are_merged(api: Api, extension: Extension) -> None:
    index: Any = {}
    async with asyncio.timeout(15):
        while BASE.strip("/") not in index:
            index = (await api.call("GET", "/openapi/v3")).body["paths"]
    url = index[BASE.strip("/")]["serverRelativeURL"]
    assert url == f"/openapi/v3{BASE}?hash=ABC"
    assert (await api.call("GET", url)).body["components"] == {"schemas": {}}
    found: Any = {}
    flunders = f"{BASE}/namespaces/{{namespace}}/flunders/{{name}}"
    async with asyncio.timeout(15):
        while flunders not in found.get("paths", {}):
            found = (await api.call("GET", "/openapi/v2")).body
    definition = found["definitions"]["com.example.wardle.v1alpha1.Flunder"]
    meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    # Of two definitions of one name, ours stays and theirs is renamed.
    assert definition["properties"]["metadata"] == {"$ref": f"#/definitions/{meta}_v2"}
    assert found["definitions"][f"{meta}_v2"]["description"] == "Another idea of metadata."
    assert "Standard" in found["definitions"][meta]["description"] or found["definitions"][meta]
    assert "unused" not in found["definitions"]


async def test_kubectl_knows_extensions(
    server: Running, kubectl: Kubectl, extension: Extension
) -> None:
    obj = {"apiVersion": API_VERSION, "kind": "Flunder", "metadata": {"name": "by-kubectl"}}
    made = await kubectl("create", "-f", "-", "--validate=false", stdin=json.dumps(obj))
    assert made == f"flunder.{GROUP}/by-kubectl created\n"
    assert "by-kubectl" in await kubectl("get", "fl", "-o", "name")
    assert "flunders" in await kubectl("api-resources", f"--api-group={GROUP}")
    await kubectl("delete", "flunder", "by-kubectl", "--wait=false")


async def test_an_extension_that_is_not_well_is_unavailable(api: Api, extension: Extension) -> None:
    extension.is_well = False
    # Looked at again because its APIService changed.
    path = f"{API_SERVICES}/{NAME}"
    await api.call("PATCH", path, {"metadata": {"labels": {"look": "again"}}}, headers=MERGE)
    failed = await wait_for(api, NAME, "FailedDiscoveryCheck")
    assert failed["status"] == "False"
    url = f"https://localhost:{extension.port}{BASE}"
    assert failed["message"] == (
        f"failing or missing response from {url}: bad status from {url}: 500"
    )
    answer = await api.call("GET", FLUNDERS)
    assert (answer.status, answer.body["reason"]) == (503, "ServiceUnavailable")
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    items = (await api.call("GET", "/apis", headers=accept)).body["items"]
    (found,) = [item for item in items if item["metadata"]["name"] == GROUP]
    assert found["versions"][0]["freshness"] == "Stale"
    metrics = (await api.call("GET", "/metrics")).text
    assert f'aggregator_unavailable_apiservice{{name="{NAME}"}} 1.0' in metrics
    counted = f'apiservice_total{{name="{NAME}",reason="FailedDiscoveryCheck"}}'
    assert f"aggregator_unavailable_{counted}" in metrics
    extension.is_well = True
    await wait_for(api, NAME, "Passed")
    assert (await api.call("GET", FLUNDERS)).status == 200


async def test_conditions_say_what_is_missing(api: Api, found_keys: Keys) -> None:
    name, space = "v1.missing.example.com", "missing"
    await make(api, "/api/v1/namespaces", {"metadata": {"name": space}})
    ref = {"namespace": space, "name": "extension"}
    await make(api, API_SERVICES, api_service(name, ref, caBundle=found_keys.ca_bundle))
    missing = await wait_for(api, name, "ServiceNotFound")
    shown = f'service/extension in "{space}"'
    assert missing["message"] == f"{shown} is not present"
    services = f"/api/v1/namespaces/{space}/services"
    ports = [{"name": "https", "port": 8443}]
    service = await make(
        api, services, {"metadata": {"name": "extension"}, "spec": {"ports": ports}}
    )
    missing = await wait_for(api, name, "ServicePortError")
    assert missing["message"] == f"{shown} is not listening on port 443"
    service["spec"]["ports"] = [{"name": "https", "port": 443}]
    await api.call("PUT", f"{services}/extension", service)
    missing = await wait_for(api, name, "EndpointsNotFound")
    assert missing["message"] == f"cannot find endpointslices for {shown}"
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices"
    labels = {"kubernetes.io/service-name": "extension"}
    piece: Any = {
        "metadata": {"name": "extension-1", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [],
        "ports": [{"name": "https", "port": 1, "protocol": "TCP"}],
    }
    piece = await make(api, slices, piece)
    missing = await wait_for(api, name, "MissingEndpoints")
    assert missing["message"] == (f'endpoints for {shown} have no addresses with port name "https"')
    address = own_address()
    if not address:
        pytest.skip("this machine has no address that endpoints may have")
    async with extension_server(found_keys.context, host="0.0.0.0") as running:
        piece["ports"][0]["port"] = running.port
        piece["endpoints"] = [{"addresses": [address], "conditions": {"ready": True}}]
        assert (await api.call("PUT", f"{slices}/extension-1", piece)).status == 200
        failed = await wait_for(api, name, "FailedDiscoveryCheck")
        assert "certificate is not valid for extension.missing.svc" in failed["message"]
    assert (await api.call("DELETE", f"{API_SERVICES}/{name}")).status == 200
    assert (await api.call("GET", "/apis/missing.example.com/v1")).status == 404


async def test_api_services_are_objects_like_others(api: Api, extension: Extension) -> None:
    """What the conformance test does with the registered APIService itself."""
    path = f"{API_SERVICES}/{NAME}"
    status = (await api.call("GET", f"{path}/status")).body
    assert status["status"]["conditions"][0]["type"] == "Available"
    condition = {
        "type": "StatusUpdated",
        "status": "True",
        "reason": "E2E",
        "message": "Set by e2e test",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status["status"]["conditions"].append(condition)
    updated = await api.call("PUT", f"{path}/status", status)
    assert updated.status == 200, updated.text
    assert condition in updated.body["status"]["conditions"]
    patched = await api.call("PATCH", path, {"spec": {"versionPriority": 400}}, headers=MERGE)
    assert patched.body["spec"]["versionPriority"] == 400
    listed = await api.call("GET", f"{API_SERVICES}?labelSelector=made-by%3Dtest")
    assert [o["metadata"]["name"] for o in listed.body["items"]] == [NAME]
    local = (await api.call("GET", f"{API_SERVICES}/v1.apps")).body
    assert local["status"]["conditions"][0]["reason"] == "Local"


async def test_the_collection_of_api_services_can_be_deleted(
    api: Api, extension: Extension
) -> None:
    answer = await api.call("DELETE", f"{API_SERVICES}?labelSelector=made-by%3Dtest")
    assert answer.status == 200
    assert (await api.call("GET", BASE)).status == 404
    names = [g["name"] for g in (await api.call("GET", "/apis")).body["groups"]]
    assert GROUP not in names
    assert isinstance(api.session, aiohttp.ClientSession)
