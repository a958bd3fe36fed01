"""Resource claim templates."""

from sagong.api.types import Obj
from sagong.server.kinds.resource.device_request import default_claim_spec
from sagong.server.kinds.resource.validation import validate_claim_template, validate_claim_update
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    template = obj.setdefault("spec", {})
    template.setdefault("metadata", {})
    default_claim_spec(template.setdefault("spec", {}))


STRATEGY = Strategy(
    validate=validate_claim_template,
    validate_update=validate_claim_update,
    default=default,
    has_status=False,
)
