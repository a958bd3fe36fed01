"""Device classes."""

from sagong.server.kinds.resource.claim_validation import validate_device_class
from sagong.server.kinds.strategy import Strategy

STRATEGY = Strategy(validate=validate_device_class, has_generation=True, has_status=False)
