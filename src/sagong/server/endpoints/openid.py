"""The OpenID discovery documents, by which others check tokens of service accounts."""

from collections.abc import Mapping, Sequence

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from sagong.api.types import Obj
from sagong.server.authn.openid import key_set, openid_configuration
from sagong.server.http.exchange import Exchange
from sagong.server.http.messages import Answered, Response
from sagong.server.http.routing import Endpoint

_KEYS_PATH = "/openid/v1/jwks"
_CACHED = "public, max-age=3600"  # as upstream: keys change with a restart at most


def openid_endpoints(
    *, issuer: str, address: str, keys: Sequence[ec.EllipticCurvePublicKey]
) -> Mapping[str, Endpoint]:
    """By path; ``address`` is host:port under which clients reach this server."""
    configuration = openid_configuration(issuer, f"https://{address}{_KEYS_PATH}")
    return {
        "/.well-known/openid-configuration": _document(configuration, "application/json"),
        _KEYS_PATH: _document(key_set(keys), "application/jwk-set+json"),
    }


def _document(obj: Obj, media_type: str) -> Endpoint:
    data = orjson.dumps(obj)
    headers = {"Content-Type": media_type, "Cache-Control": _CACHED}

    async def answer(exchange: Exchange) -> Answered:
        return Response(body=data, headers=headers)

    return answer
