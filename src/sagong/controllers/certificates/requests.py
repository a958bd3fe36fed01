"""Reading certificate signing requests: what nodes may ask for, and whether they did."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from sagong.api.types import Obj

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
NODE_PREFIX = "system:node:"
_NODES = ["system:nodes"]
_CLIENT_USAGES = {"key encipherment", "digital signature", "client auth"}
_SERVING_USAGES = {"key encipherment", "digital signature", "server auth"}


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a request that decide."""

    common_name: str
    organizations: Sequence[str]
    dns_names: Sequence[str]
    addresses: Sequence[str]
    other_names: bool  # e-mail addresses or URIs


def parse(csr: Obj) -> Request | None:
    """The request in a CertificateSigningRequest; None if it is not one."""
    try:
        pem = base64.b64decode(csr["spec"]["request"], validate=True)
        request = x509.load_pem_x509_csr(pem)
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    except (ValueError, binascii.Error, KeyError):
        return None
    subject = request.subject
    return Request(
        common_name=_first(subject, NameOID.COMMON_NAME),
        organizations=[
            str(a.value) for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        ],
        dns_names=names.get_values_for_type(x509.DNSName),
        addresses=[str(a) for a in names.get_values_for_type(x509.IPAddress)],
        other_names=bool(
            names.get_values_for_type(x509.RFC822Name)
            or names.get_values_for_type(x509.UniformResourceIdentifier)
        ),
    )


def _first(subject: x509.Name, oid: x509.ObjectIdentifier) -> str:
    found = subject.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def pem_of(csr: Obj) -> bytes:
    return base64.b64decode(csr["spec"]["request"])


def is_kubelet_client(csr: Obj, request: Request) -> bool:
    """A node asks for the certificate with which it speaks to the API."""
    return (
        csr["spec"].get("signerName") == KUBELET_CLIENT
        and _usages_are(csr, _CLIENT_USAGES)
        and list(request.organizations) == _NODES
        and request.common_name.startswith(NODE_PREFIX)
        and not (request.dns_names or request.addresses or request.other_names)
    )


def is_kubelet_serving(csr: Obj, request: Request) -> bool:
    """A node asks for the certificate that it shows to the API server."""
    return (
        csr["spec"].get("signerName") == KUBELET_SERVING
        and _usages_are(csr, _SERVING_USAGES)
        and list(request.organizations) == _NODES
        and request.common_name.startswith(NODE_PREFIX)
        and bool(request.dns_names or request.addresses)
        and not request.other_names
    )


def _usages_are(csr: Obj, allowed: set[str]) -> bool:
    """Exactly the allowed usages; key encipherment is of no use with elliptic curves."""
    usages: Iterable[str] = csr["spec"].get("usages") or ()
    return set(usages) | {"key encipherment"} == allowed


def is_decided(csr: Obj) -> bool:
    conditions = (csr.get("status") or {}).get("conditions") or ()
    return any(c["type"] in ("Approved", "Denied") for c in conditions)


def is_approved(csr: Obj) -> bool:
    conditions = (csr.get("status") or {}).get("conditions") or ()
    types = {c["type"] for c in conditions}
    return "Approved" in types and not types & {"Denied", "Failed"}
