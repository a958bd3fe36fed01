"""Every handler of this package, by resource and subresource."""

from collections.abc import Sequence

from sagong.api.schema import Schemas
from sagong.server.admission.rbac_escalation import Resolver
from sagong.server.authn.service_accounts import TokenIssuer
from sagong.server.handlers import HandlerTable
from sagong.server.reviews.access import (
    local_subject_access_review,
    self_subject_access_review,
    self_subject_rules_review,
    subject_access_review,
)
from sagong.server.reviews.approval import approval
from sagong.server.reviews.identity import self_subject_review, token_review
from sagong.server.reviews.receiving import Receiver
from sagong.server.reviews.tokens import token_request

_AUTHENTICATION = "authentication.k8s.io"
_AUTHORIZATION = "authorization.k8s.io"


def reviews(
    *,
    schemas: Schemas,
    resolver: Resolver,
    issuer: TokenIssuer,
    api_audiences: Sequence[str],
) -> HandlerTable:
    """The handlers. ``resolver`` is the RbacAuthorizer."""
    receiver = Receiver(schemas)
    audiences = tuple(api_audiences)
    return {
        (f"tokenreviews.{_AUTHENTICATION}", ""): token_review(receiver, audiences),
        (f"selfsubjectreviews.{_AUTHENTICATION}", ""): self_subject_review(receiver),
        (f"subjectaccessreviews.{_AUTHORIZATION}", ""): subject_access_review(receiver),
        (f"localsubjectaccessreviews.{_AUTHORIZATION}", ""): local_subject_access_review(receiver),
        (f"selfsubjectaccessreviews.{_AUTHORIZATION}", ""): self_subject_access_review(receiver),
        (f"selfsubjectrulesreviews.{_AUTHORIZATION}", ""): self_subject_rules_review(
            receiver, resolver
        ),
        ("serviceaccounts", "token"): token_request(receiver, issuer, audiences),
        ("certificatesigningrequests.certificates.k8s.io", "approval"): approval(schemas),
    }
