"""Resource claim templates."""

from sagong.api.types import Obj
from sagong.server.kinds.resource.claim_validation import (
    validate_claim_template,
    validate_claim_update,
)
from sagong.server.kinds.resource.device_request import default_claim_spec
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    template = obj.setdefault("spec", {})
    template.setdefault("metadata", {})
    default_claim_spec(template.setdefault("spec", {}))


STRATEGY = Strategy(
    validate=validate_claim_template,
    validate_update=validate_claim_update,
    validates_on_update=False,
    default=default,
    has_status=False,
)
