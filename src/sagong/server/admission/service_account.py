"""ServiceAccount: every pod has an account, and its token and the cluster's CA where it looks.

Source of semantics: upstream's ``plugin/pkg/admission/serviceaccount``.
"""

import asyncio
from collections.abc import Iterator

from sagong.api.meta import annotations_of
from sagong.api.types import Obj
from sagong.core.ids import Ids
from sagong.server.admission.interface import Attributes
from sagong.server.admission.plugin import created, is_mirror, refuse, updated

DEFAULT_ACCOUNT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
ENFORCE_ANNOTATION = "kubernetes.io/enforce-mountable-secrets"

# An hour and seven seconds: by this odd number the token issuer knows a token made for this mount.
TOKEN_SECONDS = 3607
# How long a pod waits for its new namespace's default account, which a controller makes.
ACCOUNT_WAIT_SECONDS = 1.0
_POLL_SECONDS = 0.02

# Config maps with certificate authorities that are mounted beside the token: (name, key).
# The second is what the recorded genuine servers mount; the controller that publishes the first
# into every namespace publishes it as well.
CA_CONFIG_MAPS = (
    ("kube-root-ca.crt", "ca.crt"),
    ("openshift-service-ca.crt", "service-ca.crt"),
)


class ServiceAccount:
    name = "ServiceAccount"
    resources = frozenset(("pods",))

    def __init__(
        self, ids: Ids, *, ca_config_maps: tuple[tuple[str, str], ...] = CA_CONFIG_MAPS
    ) -> None:
        self._ids = ids
        self._ca_config_maps = ca_config_maps

    async def admit(self, attributes: Attributes) -> None:
        pod = created(attributes, "pods")
        if pod is None or is_mirror(pod):
            return
        spec = pod["spec"]
        if not spec.get("serviceAccountName"):
            spec["serviceAccountName"] = spec["serviceAccount"] = DEFAULT_ACCOUNT
        account = await _account_of(attributes, spec["serviceAccountName"])
        if _mounts_token(account, spec):
            self._mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [
                {"name": secret["name"]} for secret in account["imagePullSecrets"]
            ]

    async def validate(self, attributes: Attributes) -> None:
        debugged = updated(attributes, "pods", "ephemeralcontainers")
        if debugged:
            await _check_mountable_secrets(attributes, debugged[0])
            return
        pod = created(attributes, "pods")
        if pod is None:
            return
        if is_mirror(pod):
            _check_mirror(attributes, pod)
            return
        await _check_mountable_secrets(attributes, pod)

    def _mount_token(self, spec: Obj) -> None:
        volumes = spec.get("volumes") or []
        existing = [v["name"] for v in volumes if v["name"].startswith(VOLUME_PREFIX)]
        name = existing[0] if existing else VOLUME_PREFIX + self._ids.suffix(5)
        mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
        mounted = False
        for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
            mounts = container.get("volumeMounts") or []
            if all(m.get("mountPath") != MOUNT_PATH for m in mounts):
                container["volumeMounts"] = [*mounts, dict(mount)]
                mounted = True
        if mounted and not existing:
            spec["volumes"] = [*volumes, {"name": name, "projected": self._projection()}]

    def _projection(self) -> Obj:
        sources: list[Obj] = [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}}
        ]
        sources += [
            {"configMap": {"name": name, "items": [{"key": key, "path": key}]}}
            for name, key in self._ca_config_maps
        ]
        namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
        item = {"path": "namespace", "fieldRef": namespace}
        sources.insert(2, {"downwardAPI": {"items": [item]}})
        return {"defaultMode": 0o644, "sources": sources}


async def _account_of(attributes: Attributes, name: str) -> Obj:
    """The account; a default one is waited for a little. Raises Forbidden."""
    attempts = int(ACCOUNT_WAIT_SECONDS / _POLL_SECONDS) if name == DEFAULT_ACCOUNT else 1
    for attempt in range(attempts):
        if attempt:
            await asyncio.sleep(_POLL_SECONDS)
        found = attributes.lister.get("serviceaccounts", attributes.namespace, name)
        if found is not None:
            return found.obj
    raise refuse(
        attributes,
        f"error looking up service account {attributes.namespace}/{name}:"
        f' serviceaccount "{name}" not found',
    )


def _mounts_token(account: Obj, spec: Obj) -> bool:
    """The pod's word counts first, then the account's."""
    for obj in (spec, account):
        wanted = obj.get("automountServiceAccountToken")
        if wanted is not None:
            return bool(wanted)
    return True


def _check_mirror(attributes: Attributes, pod: Obj) -> None:
    """A node's own pods must need nothing that the API holds."""
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        raise refuse(attributes, "a mirror pod may not reference service accounts")
    if next(secret_references(spec), None):
        raise refuse(attributes, "a mirror pod may not reference secrets")
    for volume in spec.get("volumes") or ():
        sources = (volume.get("projected") or {}).get("sources") or ()
        if any("serviceAccountToken" in source for source in sources):
            raise refuse(
                attributes, "a mirror pod may not use ServiceAccountToken volume projections"
            )


async def _check_mountable_secrets(attributes: Attributes, pod: Obj) -> None:
    """An account with the annotation lets its pods use only the secrets that it lists."""
    account = await _account_of(attributes, pod["spec"].get("serviceAccountName") or "")
    if annotations_of(account).get(ENFORCE_ANNOTATION) != "true":
        return
    mountable = {secret.get("name") for secret in account.get("secrets") or ()}
    for what, name in secret_references(pod["spec"]):
        if name not in mountable:
            raise refuse(
                attributes,
                f'{what} references secret.secretName="{name}" that is not in the list of'
                f" allowed secrets for the service account",
            )


def secret_references(spec: Obj) -> Iterator[tuple[str, str]]:
    """(where, name) of every secret that a pod's volumes and containers name."""
    for volume in spec.get("volumes") or ():
        if "secret" in volume:
            yield "volume", volume["secret"].get("secretName", "")
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "secret" in source:
                yield "volume", source["secret"].get("name", "")
    for part in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(part) or ():
            for variable in container.get("env") or ():
                reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
                if reference:
                    yield "container", reference.get("name", "")
            for source in container.get("envFrom") or ():
                if "secretRef" in source:
                    yield "container", source["secretRef"].get("name", "")
