"""Warnings about secrets: a certificate and a key that do not fit, in the words of Go's ``tls``."""

import base64
import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from sagong.api.types import Obj

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\n.*?-----END \1-----", re.DOTALL)


def secret_warnings(new: Obj, old: Obj | None) -> list[str]:
    if new.get("type") != "kubernetes.io/tls":
        return []
    data = new.get("data") or {}
    chain, key = (base64.b64decode(data.get(name) or "") for name in ("tls.crt", "tls.key"))
    why = _problem(chain, key)
    return [why] if why else []


def _problem(chain: bytes, key: bytes) -> str:
    kinds = [kind.decode() for kind in _BLOCK.findall(chain)]
    if not kinds:
        return "tls: failed to find any PEM data in certificate input"
    if "CERTIFICATE" not in kinds:
        listed = " ".join(kinds)
        return (
            'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM '
            f"blocks of the following types: [{listed}]"
        )
    try:
        certificate = x509.load_pem_x509_certificate(chain)
    except ValueError:
        return "x509: malformed certificate"
    if not _BLOCK.findall(key):
        return "tls: failed to find any PEM data in key input"
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
        return "tls: private key does not match public key"
    return ""
