"""Reading the record of genuine answers, where volatile values are masked."""

from typing import Any


def unmasked(value: Any) -> Any:
    """A recorded answer with values where the record masks them."""
    if isinstance(value, dict):
        new = {}
        for key, item in value.items():
            if item in ("*", "TIME") and "ime" in key:
                new[key] = "2026-01-01T00:00:00Z"
            elif item != "*" or key not in ("clusterIP", "clusterIPs", "nodePort"):
                new[key] = unmasked(item)
        return new
    return [unmasked(item) for item in value] if isinstance(value, list) else value
