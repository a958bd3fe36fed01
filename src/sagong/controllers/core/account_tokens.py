"""Fill Secrets of type kubernetes.io/service-account-token: a lasting token of the named account.

Reads: Secret, ServiceAccount.  Writes: Secret (data, annotation; delete).
Invariant: a Secret whose account is gone, or is another of the same name, is removed, after a live
look; the token is bound to the Secret, so it is worth nothing once the Secret is gone.

Semantics: upstream's ``pkg/controller/serviceaccount/tokens_controller.go``; the token is asked for
as everybody asks for one, instead of being signed here.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sagong.api.errors import NotFound
from sagong.api.meta import (
    annotations_of,
    deep_copy,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from sagong.api.types import Key, Obj
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, Watch

SECRETS, ACCOUNTS = "secrets", "serviceaccounts"
TYPE = "kubernetes.io/service-account-token"
NAME = "kubernetes.io/service-account.name"
UID = "kubernetes.io/service-account.uid"
# As long as the API grants: these tokens last until their Secret or their account goes.
LASTING_SECONDS = 2**32


def _account_of(secret: Obj) -> str:
    return annotations_of(secret).get(NAME, "") if secret.get("type") == TYPE else ""


def _index(secret: Obj) -> Iterable[str]:
    account = _account_of(secret)
    return (f"{namespace_of(secret)}/{account}",) if account else ()


def _secrets_of(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    account = new or old
    assert account is not None
    return [key_of(s) for s in cache.with_index(SECRETS, "account", str(key_of(account)))]


CONTROLLER = Controller(
    name="tokens",
    reconciles=SECRETS,
    watches=(Watch(SECRETS, indexes={"account": _index}), Watch(ACCOUNTS, _secrets_of)),
    workers=2,
    concerns=lambda secret, _: secret.get("type") == TYPE,
)


@dataclass(frozen=True, slots=True)
class Seen:
    secret: Obj
    account: Obj | None


@dataclass(frozen=True, slots=True)
class Plan:
    """``update`` lacks the token if it still has to be asked for."""

    delete: bool = False
    update: Obj | None = None
    needs_token: bool = False


def observe(key: Key, cache: Cache) -> Seen | None:
    secret = cache.get(SECRETS, key.namespace, key.name)
    if secret is None or is_deleting(secret) or not _account_of(secret):
        return None
    return Seen(secret, cache.get(ACCOUNTS, key.namespace, _account_of(secret)))


def plan(seen: Seen, certificate: str) -> Plan:
    secret, account = seen.secret, seen.account
    known = annotations_of(secret).get(UID)
    if account is None or known not in (None, "", uid_of(account)):
        return Plan(delete=True)
    data: Mapping[str, str] = secret.get("data") or {}
    wanted = {
        "ca.crt": _encoded(certificate),
        "namespace": data.get("namespace") or _encoded(namespace_of(secret)),
    }
    needs_token = not data.get("token")
    if wanted.items() <= data.items() and known and not needs_token:
        return Plan()
    changed = deep_copy(secret)
    changed["metadata"].setdefault("annotations", {})[UID] = uid_of(account)
    changed["data"] = {**data, **wanted}
    return Plan(update=changed, needs_token=needs_token)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def reconciler(certificate: str) -> Reconcile:
    """``certificate``: the cluster's CA, PEM."""

    async def reconcile(key: Key, env: Env) -> Result:
        seen = observe(key, env.cache)
        if seen is None:
            return DONE
        decided = plan(seen, certificate)
        if decided.delete:
            await _delete(seen, env)
        elif decided.update is not None:
            if decided.needs_token:
                token = await _token(seen.secret, env)
                decided.update["data"]["token"] = _encoded(token)
            await env.client.update(SECRETS, decided.update)
        return DONE

    return reconcile


async def _token(secret: Obj, env: Env) -> str:
    bound = {
        "apiVersion": "v1",
        "kind": "Secret",
        "name": name_of(secret),
        "uid": uid_of(secret),
    }
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {},
        "spec": {"boundObjectRef": bound, "expirationSeconds": LASTING_SECONDS},
    }
    answer = await env.client.create(
        ACCOUNTS,
        request,
        name=_account_of(secret),
        namespace=namespace_of(secret),
        subresource="token",
    )
    return str(answer["status"]["token"])


async def _delete(seen: Seen, env: Env) -> None:
    """Unless the account is there after all: the cache may be late."""
    secret, namespace = seen.secret, namespace_of(seen.secret)
    try:
        account = await env.client.get(ACCOUNTS, _account_of(secret), namespace=namespace)
    except NotFound:
        account = None
    if account is not None and annotations_of(secret).get(UID) in (None, "", uid_of(account)):
        return
    try:
        await env.client.delete(SECRETS, name_of(secret), namespace=namespace, uid=uid_of(secret))
    except NotFound:
        return
