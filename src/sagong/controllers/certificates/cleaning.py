"""Remove certificate signing requests that nobody needs any more.

Reads: CertificateSigningRequest.  Writes: CertificateSigningRequest (delete).
Invariant: a request that was neither decided nor signed is kept for a day.
"""

import base64
from dataclasses import dataclass

from cryptography import x509

from sagong.api.errors import Conflict, NotFound
from sagong.api.meta import uid_of
from sagong.api.types import Key, Obj
from sagong.core.clock import parse_time
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, after

RESOURCE = "certificatesigningrequests.certificates.k8s.io"
_HOUR = 3600.0
DECIDED_SECONDS = _HOUR  # approved, denied or failed (upstream's same)
PENDING_SECONDS = 24 * _HOUR

CONTROLLER = Controller(name="csrcleaner", reconciles=RESOURCE)


@dataclass(frozen=True, slots=True)
class Seen:
    csr: Obj


def observe(key: Key, cache: Cache) -> Seen | None:
    csr = cache.get(RESOURCE, "", key.name)
    return None if csr is None else Seen(csr)


def plan(seen: Seen) -> float:
    """When to delete the request, in seconds since the epoch."""
    conditions = (seen.csr.get("status") or {}).get("conditions") or ()
    decided = [
        parse_time(c["lastUpdateTime"]) + DECIDED_SECONDS
        for c in conditions
        if c["type"] in ("Approved", "Denied", "Failed") and c.get("lastUpdateTime")
    ]
    created = parse_time(seen.csr["metadata"]["creationTimestamp"])
    # Once decided, the day of those that wait is no matter any more.
    return min([*(decided or [created + PENDING_SECONDS]), *_end_of_life(seen.csr)])


def _end_of_life(csr: Obj) -> list[float]:
    """When the issued certificate ends; it is of no use to anybody then."""
    issued = (csr.get("status") or {}).get("certificate")
    if not issued:
        return []
    try:
        certificates = x509.load_pem_x509_certificates(base64.b64decode(issued))
    except ValueError:
        return []
    return [certificates[0].not_valid_after_utc.timestamp()]


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    left = plan(seen) - env.clock.now()
    if left > 0:
        return after(left)
    try:
        await env.client.delete(RESOURCE, key.name, uid=uid_of(seen.csr))
    except (NotFound, Conflict):
        return DONE
    return DONE
