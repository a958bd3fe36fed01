"""What lets others check our service-account tokens: the OpenID discovery documents.

Served at ``/.well-known/openid-configuration`` and ``/openid/v1/jwks``. Pure.
"""

import base64
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import ec

from sagong.api.types import Obj
from sagong.server.authn.service_accounts import key_id

_COORDINATE_BYTES = 32  # of P-256


def openid_configuration(issuer: str, jwks_uri: str) -> Obj:
    """The provider configuration; ``jwks_uri`` is the full URL of the key set."""
    return {
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }


def key_set(keys: Sequence[ec.EllipticCurvePublicKey]) -> Obj:
    """The JSON Web Key Set of the keys that sign tokens."""
    return {"keys": [_key(key) for key in keys]}


def _key(key: ec.EllipticCurvePublicKey) -> Obj:
    numbers = key.public_numbers()
    return {
        "use": "sig",
        "kty": "EC",
        "kid": key_id(key),
        "crv": "P-256",
        "alg": "ES256",
        "x": _base64(numbers.x),
        "y": _base64(numbers.y),
    }


def _base64(number: int) -> str:
    data = number.to_bytes(_COORDINATE_BYTES, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
