"""Sign the ConfigMap cluster-info with every bootstrap token that may sign.

Reads: ConfigMap (kube-public/cluster-info), Secret (kube-system).
Writes: ConfigMap (entries ``jws-kubeconfig-<token id>``).
Invariant: there is one signature for each good token, over the kubeconfig as it is, and no other.

A machine that knows a token checks by it that the kubeconfig, which anybody may read, is genuine.
Source of semantics: upstream's ``pkg/controller/bootstrap``; the signature is a JSON Web Signature
(RFC 7515, HS256) with detached content.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sagong.api.meta import deep_copy
from sagong.api.types import Key, Obj
from sagong.controllers.bootstrap.tokens import NAMESPACE, expires, is_token, signing_key
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch, after

INFO = Key("kube-public", "cluster-info")
KUBECONFIG = "kubeconfig"
PREFIX = "jws-kubeconfig-"


def _secret_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    return [INFO] if any(obj is not None and is_token(obj) for obj in (old, new)) else []


CONTROLLER = Controller(
    name="bootstrap-signer",
    reconciles="configmaps",
    watches=(Watch("secrets", _secret_wakes),),
    component="bootstrap-signer",
)


@dataclass(frozen=True, slots=True)
class Seen:
    info: Obj
    secrets: Sequence[Obj]  # that are bootstrap tokens


def observe(key: Key, cache: Cache) -> Seen | None:
    if key != INFO:
        return None
    info = cache.get("configmaps", key.namespace, key.name)
    if info is None:
        return None
    return Seen(info, [s for s in cache.list("secrets", NAMESPACE) if is_token(s)])


def plan(seen: Seen, *, now: float) -> dict[str, str]:
    """The data that the ConfigMap should have."""
    data = seen.info.get("data") or {}
    kept = {name: value for name, value in data.items() if not name.startswith(PREFIX)}
    content = kept.get(KUBECONFIG)
    if content is None:
        return dict(data)  # not made yet: whoever makes it wakes us
    for secret in seen.secrets:
        key = signing_key(secret, now)
        if key is not None:
            kept[PREFIX + key[0]] = signature(content, *key)
    return kept


def signature(content: str, token_id: str, token_secret: str) -> str:
    """A JWS in compact form whose content is left out."""
    # The order of the header's members is upstream's: its signatures are equal, byte for byte.
    header = _encode(f'{{"alg":"HS256","kid":"{token_id}"}}'.encode())
    signed = f"{header}.{_encode(content.encode())}".encode()
    code = hmac.new(token_secret.encode(), signed, hashlib.sha256).digest()
    return f"{header}..{_encode(code)}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    now = env.clock.now()
    data = plan(seen, now=now)
    if data != (seen.info.get("data") or {}):
        changed = deep_copy(seen.info)
        changed["data"] = data
        await env.client.update("configmaps", changed)
    ends = [end for s in seen.secrets if (end := expires(s)) is not None and end > now]
    return after(min(ends) - now) if ends else DONE
