"""How the API server shows itself to nodes' agents."""

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KubeletTls:
    """The API server's client certificate; ``ca_file`` set: agents' certificates are verified.

    Upstream verifies only if told to (``--kubelet-certificate-authority``): an agent has a
    certificate of its own making until the cluster has signed one.
    """

    certificate: Path
    key: Path
    ca_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        if self.ca_file is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_verify_locations(self.ca_file)
        return context
