"""Config maps."""

from sagong.server.kinds.strategy import Strategy

STRATEGY = Strategy(has_status=False)
