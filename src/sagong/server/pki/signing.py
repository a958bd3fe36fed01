"""What answers certificate requests: handed by the composition root to the signing controller.

Source of semantics: upstream's ``pkg/controller/certificates/signer``. The private key stays on
the server's side; who holds a Signer can have certificates made but never sees the key.
"""

from collections.abc import Sequence

from cryptography import x509

from sagong.core.clock import Clock
from sagong.server.pki.authority import Authority

# Upstream's --cluster-signing-duration, and the least that spec.expirationSeconds may ask for.
DEFAULT_TTL_SECONDS = 365 * 24 * 3600.0
MIN_TTL_SECONDS = 600.0


class Signer:
    """Signs requests with the cluster's CA."""

    def __init__(self, authority: Authority, clock: Clock) -> None:
        self._authority = authority
        self._clock = clock

    @property
    def ca_pem(self) -> bytes:
        return self._authority.certificate_pem

    def issue_client_certificate(
        self, csr_pem: bytes, ttl_seconds: float | None, usages: Sequence[str]
    ) -> bytes:
        """A PEM certificate for a PEM request.

        The life asked for is raised to ten minutes and cut to a year and to the CA's own. Raises
        ValueError for what is no request, is not signed by its own key, or has unknown usages.
        """
        ttl = DEFAULT_TTL_SECONDS if ttl_seconds is None else ttl_seconds
        return self._authority.sign_request(
            x509.load_pem_x509_csr(csr_pem),
            usages=usages,
            now=self._clock.now(),
            ttl_seconds=min(max(ttl, MIN_TTL_SECONDS), DEFAULT_TTL_SECONDS),
        )
