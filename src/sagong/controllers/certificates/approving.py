"""Approve what nodes ask for: client certificates by permission, serving certificates by address.

Reads: CertificateSigningRequest, Node.  Writes: CertificateSigningRequest (approval),
SubjectAccessReview (create).
Invariant: approves only; what is not recognised is left to a human.
Upstream approves no serving certificates. This one does when the node asks for itself and for
nothing but the addresses that its Node object shows, which NodeRestriction keeps honest.
"""

from dataclasses import dataclass

from sagong.api.meta import deep_copy, name_of
from sagong.api.types import Key, Obj
from sagong.controllers.certificates.requests import (
    NODE_PREFIX,
    Request,
    is_decided,
    is_kubelet_client,
    is_kubelet_serving,
    parse,
)
from sagong.core.clock import format_time
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch, after

RESOURCE = "certificatesigningrequests.certificates.k8s.io"
# A node asks for its serving certificate about when it registers: its addresses come a bit later.
LOOK_AGAIN_SECONDS = 1.0

CONTROLLER = Controller(name="csrapproving", reconciles=RESOURCE, watches=(Watch("nodes"),))

_SELF = "Auto approving self kubelet client certificate after SubjectAccessReview."
_OTHER = "Auto approving kubelet client certificate after SubjectAccessReview."
_SERVING = "Auto approving kubelet serving certificate: it names only the node's own addresses."


@dataclass(frozen=True, slots=True)
class Seen:
    csr: Obj
    request: Request
    node: Obj | None  # the one that the request is for


@dataclass(frozen=True, slots=True)
class Plan:
    """What it takes to approve: a permission, or nothing more; None of both: leave it."""

    permission: str = ""  # subresource of certificatesigningrequests
    message: str = ""
    wait: bool = False  # the node may yet show the addresses


def observe(key: Key, cache: Cache) -> Seen | None:
    csr = cache.get(RESOURCE, "", key.name)
    if csr is None or is_decided(csr) or (csr.get("status") or {}).get("certificate"):
        return None
    request = parse(csr)
    if request is None:
        return None
    node = cache.get("nodes", "", request.common_name.removeprefix(NODE_PREFIX))
    return Seen(csr, request, node)


def plan(seen: Seen) -> Plan:
    own = seen.csr["spec"].get("username") == seen.request.common_name
    if is_kubelet_client(seen.csr, seen.request):
        return Plan("selfnodeclient", _SELF) if own else Plan("nodeclient", _OTHER)
    if is_kubelet_serving(seen.csr, seen.request) and own:
        if _names_only_itself(seen.request, seen.node):
            return Plan(message=_SERVING)
        return Plan(wait=seen.node is None or not _addresses(seen.node))
    return Plan()


def _addresses(node: Obj) -> set[str]:
    return {a["address"] for a in (node.get("status") or {}).get("addresses") or ()}


def _names_only_itself(request: Request, node: Obj | None) -> bool:
    wanted = {*request.dns_names, *request.addresses}
    return node is not None and wanted <= _addresses(node) | {name_of(node)}


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    steps = plan(seen)
    if steps.wait:
        return after(LOOK_AGAIN_SECONDS)
    if not steps.message:
        return DONE
    if steps.permission and not await _permitted(seen.csr, steps.permission, env):
        return DONE
    await _approve(seen.csr, steps.message, env)
    return DONE


async def _permitted(csr: Obj, subresource: str, env: Env) -> bool:
    spec = csr["spec"]
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": spec.get("username", ""),
            "uid": spec.get("uid", ""),
            "groups": spec.get("groups") or [],
            "extra": spec.get("extra") or {},
            "resourceAttributes": {
                "group": "certificates.k8s.io",
                "version": "v1",
                "resource": "certificatesigningrequests",
                "subresource": subresource,
                "verb": "create",
            },
        },
    }
    answer = await env.client.create("subjectaccessreviews.authorization.k8s.io", review)
    return bool(answer["status"].get("allowed"))


async def _approve(csr: Obj, message: str, env: Env) -> None:
    now = format_time(env.clock.now())
    changed = deep_copy(csr)
    conditions = changed.setdefault("status", {}).setdefault("conditions", [])
    conditions.append(
        {
            "type": "Approved",
            "status": "True",
            "reason": "AutoApproved",
            "message": message,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
        }
    )
    await env.client.update(RESOURCE, changed, subresource="approval")
