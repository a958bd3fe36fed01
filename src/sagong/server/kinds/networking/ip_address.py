"""IP addresses: the reservation of one address for one object, named by the address."""

from sagong.server.kinds.strategy import Strategy

STRATEGY = Strategy(name_rule="path-segment", has_status=False)
