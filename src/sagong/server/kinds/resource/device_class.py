"""Device classes."""

from sagong.server.kinds.strategy import Strategy

STRATEGY = Strategy(has_generation=True, has_status=False)
