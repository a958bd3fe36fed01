"""Ingresses of our class, asked for at every node's own address as a client outside would.

One Ingress of several hosts a test; hosts carry the test's namespace, as all share the proxies.
"""

import asyncio
import base64
import datetime
import shutil
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.cluster.conformance.cluster import WAIT_SECONDS, Space
from tests.cluster.conformance.net_scene import net_pod, node_addresses, run, service

from sagong.api.types import Obj

INGRESSES = "ingresses.networking.k8s.io"

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """Trusts any certificate, follows no redirect, keeps no connection."""
    connector = aiohttp.TCPConnector(ssl=False, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def backends(space: Space, *names: str) -> None:
    """A pod and a service of each name, on port 80 and by the port name ``web``."""
    nodes = space.cluster.nodes
    pods = [
        net_pod(name, "http:8080", labels={"app": name}, nodeName=nodes[i % len(nodes)])
        for i, name in enumerate(names)
    ]
    port = {"name": "web", "port": 80, "targetPort": 8080}
    await asyncio.gather(
        run(space, *pods), *(service(space, n, port, selector={"app": n}) for n in names)
    )


def path(name: str, path: str, kind: str = "Prefix", port: Obj | None = None) -> Obj:
    backend = {"service": {"name": name, "port": port or {"number": 80}}}
    return {"path": path, "pathType": kind, "backend": backend}


def rule(host: str, *paths: Obj) -> Obj:
    return {"host": host, "http": {"paths": list(paths)}}


async def ingress(space: Space, *rules: Obj, name: str = "web", **spec: Any) -> None:
    wanted = {"ingressClassName": "sagong", **({"rules": list(rules)} if rules else {}), **spec}
    await space.create(INGRESSES, {"metadata": {"name": name}, "spec": wanted})


async def told(
    browser: aiohttp.ClientSession, address: str, host: str, path: str = "/hostname"
) -> str:
    """The server's name, or the status of an answer that is none of a server's."""
    try:
        async with browser.get(f"http://{address}{path}", headers={"Host": host}) as answer:
            text = await answer.text()
            if answer.status != 200:
                return str(answer.status)
            return text if path == "/hostname" else str((await answer.json())["Host"])
    except aiohttp.ClientError as error:
        return type(error).__name__


async def wait_told(
    space: Space, browser: aiohttp.ClientSession, host: str, expected: dict[str, str]
) -> None:
    """On every node, until each path is answered by the server that is expected."""
    addresses = (await node_addresses(space)).values()
    seen: dict[str, str] = {}
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            for address in addresses:
                while seen != expected:
                    seen = {p: await told(browser, address, host, p) for p in expected}
                seen = {}
    except TimeoutError:
        pytest.fail(f"{host} is answered {seen}, not {expected}")


async def test_hosts_and_paths_lead_to_services(
    space: Space, browser: aiohttp.ClientSession
) -> None:
    await backends(space, "one", "two", "three")
    host, domain = f"a.{space.name}.example.com", f"{space.name}.example.com"
    await ingress(
        space,
        rule(
            host,
            path("one", "/"),
            path("two", "/two"),
            path("three", "/two/three", "ImplementationSpecific", {"name": "web"}),
            path("three", "/two/hostname", "Exact"),
        ),
        rule(f"*.{domain}", path("two", "/")),
    )
    await wait_told(
        space,
        browser,
        host.upper(),
        {
            "/hostname": "one",
            "/twofold": "one",
            "/two": "two",
            "/two/": "two",
            "/two/other": "two",
            "/two/three/more?x=/": "three",
            "/two/threefold": "two",
            "/two/hostname": "three",
            "/two/hostname/": "two",
        },
    )
    await wait_told(space, browser, f"b.{domain}", {"/hostname": "two", "/two/three": "two"})
    # A wildcard is of one label.
    for unknown in (domain, f"c.b.{domain}"):
        await wait_told(space, browser, unknown, {"/hostname": "404"})
    addresses = sorted((await node_addresses(space)).values())
    seen = await space.wait(
        INGRESSES, "web", lambda i: bool(i["status"].get("loadBalancer", {}).get("ingress"))
    )
    assert [entry["ip"] for entry in seen["status"]["loadBalancer"]["ingress"]] == addresses
    await space.delete(INGRESSES, "web")
    async with asyncio.timeout(WAIT_SECONDS):
        while await told(browser, addresses[0], host) == "one":
            pass


async def test_a_default_backend_takes_what_no_path_does(
    space: Space, browser: aiohttp.ClientSession
) -> None:
    await backends(space, "one", "rest")
    host = f"{space.name}.example.org"
    default = {"service": {"name": "rest", "port": {"number": 80}}}
    await ingress(space, rule(host, path("one", "/one")), defaultBackend=default)
    await wait_told(space, browser, host, {"/one": "one", "/hostname": "rest"})
    # A service that is not there yet, or has no pods, is unavailable and not unknown.
    await space.patch(
        INGRESSES,
        "web",
        {"spec": {"defaultBackend": {"service": {"name": "none", "port": {"number": 80}}}}},
    )
    await wait_told(space, browser, host, {"/one": "one", "/hostname": "503"})
    await space.delete("pods", "one")
    await wait_told(space, browser, host, {"/one": "503"})


async def test_certificates_come_from_secrets(space: Space) -> None:
    await backends(space, "one")
    host = f"tls.{space.name}.example.com"
    certificate, key = made_certificate(host)
    data = {"tls.crt": b64(certificate), "tls.key": b64(key)}
    tls = [{"hosts": [host], "secretName": "pair"}]
    await ingress(space, rule(host, path("one", "/")), tls=tls)
    await space.create(
        "secrets", {"metadata": {"name": "pair"}, "type": "kubernetes.io/tls", "data": data}
    )
    context = ssl.create_default_context(cadata=certificate)
    for address in (await node_addresses(space)).values():
        text = ""
        async with asyncio.timeout(WAIT_SECONDS):
            while text != "one":
                text = await over_tls(address, host, context)
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection(address, 443, ssl=context, server_hostname="other.example")
    for node in space.cluster.nodes:
        directory = space.cluster.data_dir / "nodes" / node / "network" / "ingress"
        assert directory.stat().st_mode & 0o777 == 0o700
        (pem,) = directory.glob(f"{space.name}_*.pem")
        assert pem.stat().st_mode & 0o777 == 0o600


async def over_tls(address: str, host: str, context: ssl.SSLContext) -> str:
    try:
        reader, writer = await asyncio.open_connection(
            address, 443, ssl=context, server_hostname=host
        )
    except OSError:
        return ""
    writer.write(f"GET /hostname HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.decode().rpartition("\r\n\r\n")[2].strip()


def made_certificate(host: str) -> tuple[str, str]:
    """A certificate for a host that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode(), secret.decode()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_changes_lose_no_request(space: Space, browser: aiohttp.ClientSession) -> None:
    await backends(space, "one")
    host = f"busy.{space.name}.example.com"
    await ingress(space, rule(host, path("one", "/")))
    await wait_told(space, browser, host, {"/hostname": "one"})
    address = next(iter((await node_addresses(space)).values()))
    answers: list[str] = []

    async def ask() -> None:
        while True:
            answers.append(await told(browser, address, host))

    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(ask()) for _ in range(4)]
        for index in range(5):
            other = f"n{index}.{space.name}.example.com"
            await ingress(space, rule(other, path("one", "/")), name=f"n{index}")
            await wait_told(space, browser, other, {"/hostname": "one"})
        for task in asking:
            task.cancel()
    assert set(answers) == {"one"}
    assert len(answers) > 20


async def test_another_class_is_not_served(space: Space, browser: aiohttp.ClientSession) -> None:
    await backends(space, "one")
    host = f"{space.name}.example.net"
    await ingress(space, rule(f"ours.{host}", path("one", "/")), name="ours")
    theirs = {"ingressClassName": "theirs"}
    await ingress(space, rule(f"theirs.{host}", path("one", "/")), name="theirs", **theirs)
    await wait_told(space, browser, f"ours.{host}", {"/hostname": "one"})
    await wait_told(space, browser, f"theirs.{host}", {"/hostname": "404"})
    assert not (await space.get(INGRESSES, "theirs"))["status"]["loadBalancer"]
