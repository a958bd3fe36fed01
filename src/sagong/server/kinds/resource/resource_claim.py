"""Resource claims (dynamic resource allocation)."""

from sagong.api.types import Obj
from sagong.server.kinds.resource.claim_status import validate_claim_status_update
from sagong.server.kinds.resource.claim_validation import validate_claim, validate_claim_update
from sagong.server.kinds.resource.device_request import default_claim_spec
from sagong.server.kinds.strategy import Strategy


def default(claim: Obj) -> None:
    default_claim_spec(claim.setdefault("spec", {}))
    claim.setdefault("status", {})


STRATEGY = Strategy(
    validate=validate_claim,
    validate_update=validate_claim_update,
    validates_on_update=False,  # what cannot change is not judged again
    validate_status_update=validate_claim_status_update,
    default=default,
)
