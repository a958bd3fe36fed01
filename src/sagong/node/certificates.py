"""Asking the cluster for the node's certificates (TLS bootstrap).

The key never leaves this machine; the request is a CertificateSigningRequest, which the cluster's
controllers approve and sign. Semantics: client-go's ``util/certificate/csr``.
"""

import asyncio
import base64
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sagong.api.meta import name_of
from sagong.api.types import Obj
from sagong.client.client import Client

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING_SIGNER = "kubernetes.io/kubelet-serving"
_RESOURCE = "certificatesigningrequests.certificates.k8s.io"
_POLL_SECONDS = 0.2


class CertificateRefused(Exception):
    """The request was denied, or could not be signed; the text is the cluster's reason."""


@dataclass(frozen=True, slots=True)
class CertificatePair:
    """PEM."""

    certificate: bytes
    key: bytes


async def request_client_certificate(client: Client, node: str) -> CertificatePair:
    """The node's identity towards the API. Waits for approval; raises CertificateRefused."""
    return await _request(client, node, CLIENT_SIGNER, "client auth", names=(), addresses=())


async def request_serving_certificate(
    client: Client, node: str, *, names: Sequence[str], addresses: Sequence[str]
) -> CertificatePair:
    """For the agent's own HTTPS server. Waits for approval; raises CertificateRefused."""
    return await _request(
        client, node, SERVING_SIGNER, "server auth", names=names, addresses=addresses
    )


async def _request(
    client: Client,
    node: str,
    signer: str,
    purpose: str,
    *,
    names: Sequence[str],
    addresses: Sequence[str],
) -> CertificatePair:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = _signing_request(key, node, names, addresses)
    created = await client.create(
        _RESOURCE,
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"generateName": "csr-"},
            "spec": {
                "request": base64.b64encode(pem).decode(),
                "signerName": signer,
                "usages": ["digital signature", purpose],
            },
        },
    )
    certificate = await _wait_signed(client, name_of(created))
    return CertificatePair(
        certificate,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _signing_request(
    key: ec.EllipticCurvePrivateKey, node: str, names: Sequence[str], addresses: Sequence[str]
) -> bytes:
    """Common name ``system:node:<node>`` of the organisation ``system:nodes``."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{node}"),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    if alternatives:
        extension = x509.SubjectAlternativeName(alternatives)
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def _wait_signed(client: Client, name: str) -> bytes:
    while True:
        request: Obj = await client.get(_RESOURCE, name)
        status = request.get("status") or {}
        for condition in status.get("conditions") or []:
            if condition["type"] in ("Denied", "Failed"):
                text = condition.get("message") or condition.get("reason") or condition["type"]
                raise CertificateRefused(f"certificate request {name}: {text}")
        if status.get("certificate"):
            return base64.b64decode(status["certificate"])
        await asyncio.sleep(_POLL_SECONDS)
