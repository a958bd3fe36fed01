"""The node's certificates over time: asked for early, replaced at 80 % of their lives.

Each is a pair of PEM files, written so that a reader finds the old pair or the new one.
Semantics: client-go's certificate manager (``util/certificate``), whose share is 70 to 90 %.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from sagong.core.clock import Clock
from sagong.node.certificates import CertificatePair

log = logging.getLogger(__name__)

LIFE_SHARE = 0.8
LOOK_SECONDS = 3600.0  # a clock may be set, so that no wait is longer

Request = Callable[[], Awaitable[CertificatePair]]


@dataclass(frozen=True, slots=True)
class Kept:
    """One certificate: where to read it, how to get another, what to do with a new one."""

    name: str
    read: Callable[[], bytes | None]  # PEM; None while there is none
    request: Request
    store: Callable[[CertificatePair], Awaitable[None]]


async def keep_certificate(kept: Kept, clock: Clock) -> None:
    """Request what is missing or due, until cancelled. Raises what the request raises."""
    while True:
        wait = renewal_time(kept.read()) - clock.now()
        if wait <= 0:
            log.info("requesting a new %s certificate", kept.name)
            await kept.store(await kept.request())
            continue
        await asyncio.sleep(min(wait, LOOK_SECONDS))


def renewal_time(pem: bytes | None) -> float:
    """When a certificate is to be replaced (seconds since the epoch); 0 if it cannot be read."""
    try:
        certificate = x509.load_pem_x509_certificate(pem or b"")
    except ValueError:
        return 0.0
    start = certificate.not_valid_before_utc.timestamp()
    return start + LIFE_SHARE * (certificate.not_valid_after_utc.timestamp() - start)


def read_pem(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def write_pair(directory: Path, name: str, pair: CertificatePair) -> None:
    """``<name>.key`` and ``<name>.crt``: the key first, as readers go by the certificate."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for suffix, data in (("key", pair.key), ("crt", pair.certificate)):
        path = directory / f"{name}.{suffix}"
        new = path.with_name(path.name + ".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        new.replace(path)
