"""kubectl against a server without nodes, as Kubernetes' conformance suite tries it."""

import asyncio
import base64
import datetime
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rest import Api, Kubectl

from sagong.cmd.server import Running

pytestmark = pytest.mark.asyncio(loop_scope="module")
MERGE = {"Content-Type": "application/merge-patch+json"}
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
_DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_NEXT_DAY = datetime.datetime(2036, 1, 2, tzinfo=datetime.UTC)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


async def test_api_versions_have_v1(kubectl: Kubectl) -> None:
    assert "v1" in (await kubectl("api-versions")).splitlines()


async def test_version_shows_both_sides(kubectl: Kubectl) -> None:
    said = await kubectl("version")
    assert "Client Version: " in said
    assert "Server Version: v1.36" in said


async def test_cluster_info_names_the_control_plane(server: Running, kubectl: Kubectl) -> None:
    said = COLOURS.sub("", await kubectl("cluster-info"))
    assert f"Kubernetes control plane is running at {server.url}" in said


def deployment(image: str) -> str:
    labels = {"app": "httpd"}
    container = {"name": "httpd", "image": image, "ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "httpd-deployment"},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        }
    )


async def test_diff_finds_what_would_change(server: Running, tmp_path: Path) -> None:
    if shutil.which("diff") is None:
        pytest.skip("diff is not installed")
    live, local = "registry.example/httpd:2.4.38-2", "registry.example/busybox:1.29-2"
    await _kubectl(server, "create", "-f", "-", stdin=deployment(live), code=0)
    assert await _kubectl(server, "diff", "-f", "-", stdin=deployment(live), code=0) == ""
    found = await _kubectl(server, "diff", "-f", "-", stdin=deployment(local), code=1)
    changed = [line for line in found.splitlines() if "- image:" in line]
    assert [(line[0], line.split()[-1]) for line in changed] == [("-", live), ("+", local)]
    # Nothing has changed.
    image = "-o=jsonpath={.spec.template.spec.containers[0].image}"
    said = await _kubectl(server, "get", "deployment", "httpd-deployment", image, code=0)
    assert said == live


async def _kubectl(server: Running, *arguments: str, code: int, stdin: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        "kubectl",
        f"--kubeconfig={server.kubeconfig}",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin.encode())
    assert process.returncode == code, err.decode() + out.decode()
    return out.decode()


@asynccontextmanager
async def proxy(server: Running, *flags: str) -> AsyncIterator[str]:
    """``kubectl proxy`` while the block runs; the line in which it says where it serves."""
    process = await asyncio.create_subprocess_exec(
        "kubectl",
        f"--kubeconfig={server.kubeconfig}",
        "proxy",
        *flags,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def test_a_proxy_serves_on_any_free_port(server: Running, api: Api) -> None:
    async with proxy(server, "-p", "0", "--disable-filter") as said:
        port = re.fullmatch(r"Starting to serve on 127\.0\.0\.1:(\d+)", said)
        assert port is not None, said
        async with api.session.get(f"http://127.0.0.1:{port[1]}/api/") as answer:
            found = await answer.json()
    assert (found["kind"], found["versions"]) == ("APIVersions", ["v1"])


async def test_a_proxy_serves_on_a_unix_socket(server: Running, tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    async with proxy(server, f"--unix-socket={path}") as said:
        assert said == f"Starting to serve on {path}"
        socket = aiohttp.UnixConnector(str(path))
        async with (
            aiohttp.ClientSession(connector=socket) as session,
            session.get("http://localhost/api/") as answer,
        ):
            found = await answer.json()
    assert (found["kind"], found["versions"]) == ("APIVersions", ["v1"])


# Certificate signing requests


def request(name: str) -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "e2e-example.com")])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject)
    pem = signed.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return {
        "metadata": {"generateName": name, "labels": {"csr": "try"}},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": "example.com/e2e-example",
            "usages": ["digital signature", "key encipherment", "server auth"],
            "expirationSeconds": 3600,
        },
    }


async def test_certificate_signing_requests_live(api: Api) -> None:
    resources = (await api.call("GET", "/apis/certificates.k8s.io/v1")).body["resources"]
    names = {r["name"] for r in resources}
    plural = "certificatesigningrequests"
    assert {plural, f"{plural}/status", f"{plural}/approval"} <= names
    made = [(await api.call("POST", REQUESTS, request("try-"))).body for _ in range(3)]
    assert len({m["metadata"]["name"] for m in made}) == 3
    path = f"{REQUESTS}/{made[0]['metadata']['name']}"
    assert (await api.call("GET", path)).body["metadata"]["uid"] == made[0]["metadata"]["uid"]
    selected = f"{REQUESTS}?labelSelector=csr%3Dtry"
    listed = (await api.call("GET", selected)).body
    assert len(listed["items"]) == 3
    version = listed["metadata"]["resourceVersion"]
    url = f"{api.url}{selected}&watch=1&resourceVersion={version}"
    headers = {"Authorization": "Bearer admin-token"}
    async with api.session.get(url, headers=headers, ssl=False) as watch:
        annotated = {"metadata": {"annotations": {"patched": "true"}}}
        patched = (await api.call("PATCH", path, annotated, headers=MERGE)).body
        assert patched["metadata"]["annotations"] == {"patched": "true"}
        patched["metadata"]["annotations"]["updated"] = "true"
        updated = (await api.call("PUT", path, patched)).body
        assert updated["metadata"]["annotations"]["updated"] == "true"
        async with asyncio.timeout(10):
            for seen in ({"patched": "true"}, {"patched": "true", "updated": "true"}):
                event = json.loads(await watch.content.readline())
                assert event["type"] == "MODIFIED"
                assert event["object"]["metadata"]["annotations"] == seen
    await _approve(api, path)
    await _sign(api, path)
    assert (await api.call("DELETE", path)).status == 200
    assert (await api.call("GET", path)).status == 404
    assert len((await api.call("GET", selected)).body["items"]) == 2
    assert (await api.call("DELETE", selected)).status == 200
    assert (await api.call("GET", selected)).body["items"] == []


async def _approve(api: Api, path: str) -> None:
    """Through the approval subresource, patched and then updated."""
    approval = f"{path}/approval"
    assert (await api.call("GET", approval)).body["kind"] == "CertificateSigningRequest"
    condition = {
        "type": "ApprovalPatch",
        "status": "True",
        "reason": "e2e",
        "message": "Set from an e2e test",
    }
    patch = {
        "metadata": {"annotations": {"patchedapproval": "true"}},
        "status": {"conditions": [condition]},
    }
    patched = (await api.call("PATCH", approval, patch, headers=MERGE)).body
    assert patched["status"]["conditions"][0]["type"] == "ApprovalPatch"
    assert patched["metadata"]["annotations"]["patchedapproval"] == "true"
    approved = {**condition, "type": "Approved", "reason": "E2E"}
    patched["status"]["conditions"].append(approved)
    updated = (await api.call("PUT", approval, patched)).body
    assert [c["type"] for c in updated["status"]["conditions"]] == ["ApprovalPatch", "Approved"]


async def _sign(api: Api, path: str) -> None:
    """Through the status subresource, patched and then updated."""
    status = f"{path}/status"
    assert (await api.call("GET", status)).body["kind"] == "CertificateSigningRequest"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self-signed")])
    request_ = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(request_.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_DAY)
        .not_valid_after(_NEXT_DAY)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    text = base64.b64encode(certificate).decode()
    patch = {
        "metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"certificate": text},
    }
    patched = (await api.call("PATCH", status, patch, headers=MERGE)).body
    assert patched["status"]["certificate"] == text
    assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
    condition = {
        "type": "StatusUpdate",
        "status": "True",
        "reason": "E2E",
        "message": "Set from an e2e test",
    }
    patched["status"]["conditions"].append(condition)
    updated = (await api.call("PUT", status, patched)).body
    assert updated["status"]["conditions"][-1]["type"] == "StatusUpdate"
    assert updated["status"]["certificate"] == text


async def test_what_has_no_validation_of_its_own_is_checked_by_kubectl(
    kubectl: Kubectl, api: Api
) -> None:
    """Lists and reviews: kubectl reads the schema as protobuf to check them itself."""
    items = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"listed-{i}"}}
        for i in range(2)
    ]
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    assert await kubectl("create", "-f", "-", stdin=json.dumps(listed)) == (
        "configmap/listed-0 created\nconfigmap/listed-1 created\n"
    )
    kinds = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    asked = {"resourceAttributes": {"verb": "get", "resource": "pods"}}
    review = json.dumps({**kinds, "spec": asked})
    said = await kubectl("create", "-o", "jsonpath={.status.allowed}", "-f", "-", stdin=review)
    assert said == "true"
    wrong = json.dumps({**kinds, "spec": {**asked, "unknown": 1}})
    error = await kubectl("create", "-f", "-", stdin=wrong, fails=True)
    assert 'unknown field "unknown" in io.k8s.api.authorization.v1' in error
    media_type = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    answer = await api.session.get(
        f"{api.url}/openapi/v2",
        headers={"Accept": media_type, "Authorization": "Bearer admin-token"},
        ssl=False,
    )
    assert answer.headers["Content-Type"] == media_type.replace("@", ".")
