"""Sign approved certificate signing requests of the built-in signers.

Reads: CertificateSigningRequest.  Writes: CertificateSigningRequest.status.
Invariant: signs only what is approved, not denied, and of the form its signer allows.
"""

import base64
from collections.abc import Sequence
from typing import Protocol

from sagong.api.meta import deep_copy
from sagong.api.types import Key, Obj
from sagong.controllers.certificates.requests import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    is_approved,
    is_kubelet_client,
    is_kubelet_serving,
    parse,
    pem_of,
)
from sagong.core.clock import format_time
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result

RESOURCE = "certificatesigningrequests.certificates.k8s.io"
LEGACY = "kubernetes.io/legacy-unknown"
_SIGNERS = (CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY)

CONTROLLER = Controller(name="csrsigning", reconciles=RESOURCE)


class Signer(Protocol):
    """Whoever holds the CA's key; the composition root hands it over."""

    def issue_client_certificate(
        self, csr_pem: bytes, ttl_seconds: float | None, usages: Sequence[str]
    ) -> bytes:
        """A PEM certificate; raises ValueError for a request that cannot be signed."""
        ...


def observe(key: Key, cache: Cache) -> Obj | None:
    """The request if it waits for our signature."""
    csr = cache.get(RESOURCE, "", key.name)
    if csr is None or csr["spec"].get("signerName") not in _SIGNERS:
        return None
    if not is_approved(csr) or (csr.get("status") or {}).get("certificate"):
        return None
    return csr


def plan(csr: Obj) -> str:
    """Why the request must not be signed; "" if it may be."""
    request = parse(csr)
    if request is None:
        return "unable to parse the request"
    signer = csr["spec"]["signerName"]
    if signer == KUBELET_CLIENT and not is_kubelet_client(csr, request):
        return "the request is not of the form of a kubelet client certificate"
    if signer == KUBELET_SERVING and not is_kubelet_serving(csr, request):
        return "the request is not of the form of a kubelet serving certificate"
    if signer == CLIENT and not set(csr["spec"].get("usages") or ()) <= {
        "key encipherment",
        "digital signature",
        "client auth",
    }:
        return "the usages are not those of a client certificate"
    return ""


def reconciler(signer: Signer) -> Reconcile:
    """Reconcile with this CA."""

    async def reconcile(key: Key, env: Env) -> Result:
        csr = observe(key, env.cache)
        if csr is None:
            return DONE
        problem = plan(csr)
        changed = deep_copy(csr)
        status = changed.setdefault("status", {})
        if not problem:
            try:
                certificate = signer.issue_client_certificate(
                    pem_of(csr), csr["spec"].get("expirationSeconds"), csr["spec"]["usages"]
                )
                status["certificate"] = base64.b64encode(certificate).decode()
            except ValueError as error:
                problem = str(error)
        if problem:
            now = format_time(env.clock.now())
            status.setdefault("conditions", []).append(
                {
                    "type": "Failed",
                    "status": "True",
                    "reason": "SignerValidationFailure",
                    "message": problem,
                    "lastUpdateTime": now,
                    "lastTransitionTime": now,
                }
            )
        await env.client.update(RESOURCE, changed, subresource="status")
        return DONE

    return reconcile
