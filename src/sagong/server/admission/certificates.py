"""Certificate requests: who asks is filled in by the server, and who may approve and sign checked.

CertificateRequester is upstream's create strategy; CertificateApproval, CertificateSigning and
CertificateSubjectRestriction are its plugins (``plugin/pkg/admission/certificates``).
"""

import base64
import binascii

from cryptography import x509
from cryptography.x509.oid import NameOID

from sagong.api.types import Obj, User
from sagong.server.admission.interface import Attributes
from sagong.server.admission.plugin import Mutating, Validating, created, refuse, updated
from sagong.server.authz.interface import Attributes as Question
from sagong.server.authz.interface import Authorizer, Effect

REQUESTS = "certificatesigningrequests.certificates.k8s.io"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


class CertificateRequester(Mutating):
    name = "CertificateRequester"
    resources = frozenset((REQUESTS,))

    async def admit(self, attributes: Attributes) -> None:
        request = created(attributes, REQUESTS)
        if request is None:
            return
        spec, user = request["spec"], attributes.user
        for field in ("username", "uid", "groups", "extra"):
            spec.pop(field, None)
        spec["username"] = user.name
        if user.uid:
            spec["uid"] = user.uid
        if user.groups:
            spec["groups"] = list(user.groups)
        if user.extra:
            spec["extra"] = {key: list(values) for key, values in user.extra.items()}


class CertificateApproval(Validating):
    name = "CertificateApproval"
    resources = frozenset((REQUESTS,))

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, attributes: Attributes) -> None:
        both = updated(attributes, REQUESTS, "approval")
        if both is None:
            return
        signer = both[0]["spec"].get("signerName", "")
        if not await may_use_signer(self._authorizer, attributes.user, "approve", signer):
            raise refuse(
                attributes, f'user not permitted to approve requests with signerName "{signer}"'
            )


class CertificateSigning(Validating):
    name = "CertificateSigning"
    resources = frozenset((REQUESTS,))

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, attributes: Attributes) -> None:
        both = updated(attributes, REQUESTS, "status")
        if both is None or not _signs(*both):
            return
        signer = both[1]["spec"].get("signerName", "")
        if not await may_use_signer(self._authorizer, attributes.user, "sign", signer):
            raise refuse(
                attributes, f'user not permitted to sign requests with signerName "{signer}"'
            )


class CertificateSubjectRestriction(Validating):
    name = "CertificateSubjectRestriction"
    resources = frozenset((REQUESTS,))

    async def validate(self, attributes: Attributes) -> None:
        request = created(attributes, REQUESTS)
        if request is None or request["spec"].get("signerName") != CLIENT_SIGNER:
            return
        if "system:masters" in _organizations(request["spec"].get("request", "")):
            raise refuse(
                attributes,
                f"use of {CLIENT_SIGNER} signer with system:masters group is not allowed",
            )


def _signs(new: Obj, old: Obj) -> bool:
    """True if the update sets a certificate or says that signing failed."""
    before, after = old.get("status") or {}, new.get("status") or {}
    if before.get("certificate") != after.get("certificate"):
        return True
    return _failed(before) != _failed(after)


def _failed(status: Obj) -> bool:
    return any(c.get("type") == "Failed" for c in status.get("conditions") or ())


def _organizations(request: str) -> list[str]:
    """What a base64 PEM request gives as organizations; validation has seen that it parses."""
    try:
        parsed = x509.load_pem_x509_csr(base64.b64decode(request))
    except (ValueError, binascii.Error):
        return []
    found = parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return [str(attribute.value) for attribute in found]


async def may_use_signer(authorizer: Authorizer, user: User, verb: str, signer: str) -> bool:
    """Allowed by the signer's name or by its whole domain, ``example.com/*``."""
    for name in (signer, signer.partition("/")[0] + "/*"):
        question = Question(
            user, verb, group="certificates.k8s.io", version="*", resource="signers", name=name
        )
        if (await authorizer.authorize(question)).effect is Effect.ALLOW:
            return True
    return False
