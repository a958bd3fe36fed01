"""Priority level configurations: how many requests of a kind run at once."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("limited") is not None:
        _default_limited(spec["limited"])
    if spec.get("exempt") is not None:
        for name in ("nominalConcurrencyShares", "lendablePercent"):
            if spec["exempt"].get(name) is None:
                spec["exempt"][name] = 0
    obj.setdefault("status", {})


def _default_limited(limited: Obj) -> None:
    if limited.get("nominalConcurrencyShares") is None:
        limited["nominalConcurrencyShares"] = 30
    if limited.get("lendablePercent") is None:
        limited["lendablePercent"] = 0
    queuing = limited.setdefault("limitResponse", {}).get("queuing")
    if queuing is not None:
        for name, value in (("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)):
            if not queuing.get(name):
                queuing[name] = value


STRATEGY = Strategy(default=default, has_generation=True)
