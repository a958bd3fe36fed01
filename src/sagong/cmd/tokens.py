"""Bootstrap tokens: with one, a new machine may ask for its certificate (kubeadm's format)."""

import secrets

from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.clock import Clock, format_time

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
GROUP = "system:bootstrappers:sagong:nodes"


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


async def create_token(client: Client, clock: Clock, *, description: str, hours: float) -> str:
    """A new token ``<id>.<secret>``, stored as a Secret in kube-system; it expires by itself."""
    token_id, secret = _random(6), _random(16)
    obj: Obj = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"bootstrap-token-{token_id}", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": token_id,
            "token-secret": secret,
            "description": description,
            "expiration": format_time(clock.now() + hours * 3600),
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
            "auth-extra-groups": GROUP,
        },
    }
    await client.create("secrets", obj)
    return f"{token_id}.{secret}"
